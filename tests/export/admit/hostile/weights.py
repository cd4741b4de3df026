"""Weights made to do harm: each changes the HDF5 file of a whole model."""

import h5py
import numpy as np


def kernel_replaced(file, make):
    """Takes the array of the kernel away, and lets `make` put something in its place."""
    group = file["layers/dense/vars"]
    del group["0"]
    make(group)


def group_replaced(file, link):
    file.move("layers/dense", "elsewhere")
    file["layers/dense"] = link


def virtual(group):
    layout = h5py.VirtualLayout((4, 3), "float32")
    layout[:] = h5py.VirtualSource("secret.h5", "kernel", (4, 3))
    group.create_virtual_dataset("0", layout)


WEIGHTS = {
    "shape bomb": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (2**20, 2**18), "float32", chunks=True)
    ),
    "contiguous shape bomb": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (2**20, 2**18), "float32")
    ),
    "compression bomb": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", data=np.zeros((4, 5_000_000), "f4"), compression="gzip")
    ),
    "another shape": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", data=np.zeros((3, 4), "f4"))
    ),
    "no kernel": lambda f: kernel_replaced(f, lambda g: None),
    "group for an array": lambda f: kernel_replaced(f, lambda g: g.create_group("0")),
    "objects": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", data=["evil"] * 12, dtype=h5py.string_dtype())
    ),
    "objects in fields": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (4, 3), [("evil", h5py.string_dtype())])
    ),
    "null": lambda f: kernel_replaced(f, lambda g: g.create_dataset("0", data=h5py.Empty("f4"))),
    "external file": lambda f: kernel_replaced(
        f, lambda g: g.create_dataset("0", (4, 3), "f4", external=[("/tmp/secret", 0, 48)])
    ),
    "virtual": lambda f: kernel_replaced(f, virtual),
    "external link": lambda f: kernel_replaced(
        f, lambda g: g.__setitem__("0", h5py.ExternalLink("secret.h5", "/kernel"))
    ),
    "soft link": lambda f: kernel_replaced(
        f, lambda g: g.__setitem__("0", h5py.SoftLink("/layers/dense/vars/1"))
    ),
    "external link to a group": lambda f: group_replaced(
        f, h5py.ExternalLink("secret.h5", "/dense")
    ),
    "soft link to a group": lambda f: group_replaced(f, h5py.SoftLink("/elsewhere")),
    "external link beside the weights": lambda f: f.__setitem__(
        "more", h5py.ExternalLink("secret.h5", "/")
    ),
    "endless groups": lambda f: f.__setitem__("layers/dense/again", f["layers"]),
    "one array twice": lambda f: f.__setitem__("layers/dense/vars/2", f["layers/dense/vars/0"]),
}
