"""Exports five models of the zoo, and prints digests of their files and facts of their reports.

    python -m benchmarks.export_digests build/digests > after.txt

Run it in two checkouts with the same folder, which keeps the models that the first run saves, and
compare what they print: a change that only moves code prints the same.
"""

import argparse
import hashlib
import json
from pathlib import Path

import keras

import export
import keras_capsules

PRETRAINED = ("efficient_capsnet", "se_capsnet")
TINY = ("matrix_capsnet", "self_routing_capsnet", "capsnet")
# These differ from run to run, or between checkouts.
_VARYING = ("command", "environment", "latency_ms", "target")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the models are, and the files go")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*PRETRAINED, *TINY):
        saved, target = folder / f"{name}.keras", folder / f"{name}.onnx"
        if not saved.exists():
            keras.utils.set_random_seed(0)
            options = {"weights": "mnist"} if name in PRETRAINED else {"size": "tiny"}
            keras_capsules.create_model(name, **options).save(saved)
        report = json.loads(export.export_onnx(saved, target, force=True).to_json())
        print(name, digest(target), "seal", digest(Path(f"{target}.golden.npz")))
        print(json.dumps({key: report[key] for key in sorted(report) if key not in _VARYING}))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
