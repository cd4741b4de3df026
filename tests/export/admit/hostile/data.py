"""Data made to do harm: each gives the bytes of an .npz file."""

import io
import pickle
import zipfile

import numpy as np

from tests.export.admit.hostile.archives import Canary


def npz(**entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def npy(shape, dtype="<f4", payload=b""):
    file = io.BytesIO()
    header = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + payload


def objects(folder):
    file = io.BytesIO()
    np.save(file, np.array([Canary(folder / "canary")], dtype=object), allow_pickle=True)
    return npz(x=file.getvalue())


DATA = {
    "pickled objects": objects,
    "pickle for an array": lambda folder: npz(x=pickle.dumps(Canary(folder / "canary"))),
    "shape without a payload": lambda folder: npz(x=npy((2**40, 4))),
    "shape larger than its payload": lambda folder: npz(x=npy((100, 4), payload=b"1234")),
    "negative shape": lambda folder: npz(x=npy((-1, 4), payload=b"1234")),
    "bomb": lambda folder: npz(x=npy((2**23, 4), payload=bytes(2**27))),
    "code in the header": lambda folder: npz(x=npy((1, 4)).replace(b"False", b"[]()+")),
    "cut short": lambda folder: npz(x=npy((1, 4), payload=bytes(16)))[20:],
}
