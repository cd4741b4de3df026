"""Counts what a training step on several devices sends, and what each device keeps.

    python -m benchmarks.distribution
    python -m benchmarks.distribution --devices 1 2 --size tiny

CapsNet trains for a few steps under JAX on simulated devices of one machine. `sent` is the size of
all tensors that collective operations of the compiled step make, as XLA writes them down:
a sum over devices of 4 bytes counts as 4. `kept` is what the first device keeps of the weights and
of Adam's two averages of each. `alone` has no distribution; its milliseconds beside those of one
device are the overhead. Simulated devices share the processor, so other times say nothing.
"""

import argparse
import json
import math
import re
import tempfile
from pathlib import Path

import numpy as np

from benchmarks import results

WAYS = ("alone", "batches", "parents", "children")
BYTES = {"f32": 4, "s32": 4, "u32": 4, "bf16": 2, "f16": 2, "pred": 1}
COLLECTIVE = re.compile(
    r"= (?P<result>.*?) (?:all-reduce|all-gather|reduce-scatter|all-to-all|collective-permute)\("
)
COMPUTATION = re.compile(r"(?:ENTRY )?%(?P<name>[\w.-]+) \(")
LOOP = re.compile(r' while\(.*body=%(?P<body>[\w.-]+),.*"known_trip_count":\{"n":"(?P<count>\d+)"')
TENSOR = re.compile(r"\b(?P<dtype>[a-z]+\d*)\[(?P<sizes>[\d,]*)\]")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--devices", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--size", choices=["tiny"], help="of the CapsNet (default: the paper's)")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--measure", nargs=2, metavar=("WAY", "DEVICES"), help=argparse.SUPPRESS)
    results.add_options(parser, "distribution")
    options = parser.parse_args()
    if options.measure:
        way, devices = options.measure
        print(json.dumps([measured(way, int(devices), options.size, options.batch)]))
        return
    rows = []
    for way in WAYS:
        for devices in options.devices if way != "alone" else [1]:
            if way == "parents" and 10 % devices:
                continue  # Ten parents are not divided by these devices.
            with tempfile.TemporaryDirectory() as folder:
                flags = f"--xla_force_host_platform_device_count={devices} --xla_dump_to={folder}"
                flags += " --xla_dump_hlo_as_text --xla_dump_hlo_module_re=.*train_step.*"
                arguments = ["--measure", way, str(devices), "--batch", str(options.batch)]
                arguments += ["--size", options.size] if options.size else []
                (row,) = results.in_process(
                    "benchmarks.distribution", arguments, "jax", XLA_FLAGS=flags
                )
                rows.append(row | {"sent MB": sent(Path(folder)) / 1e6})
    results.publish(rows, ["way", "devices"], options)


def measured(way: str, devices: int, size: str | None, batch: int) -> dict:
    """Trains a few steps, and returns their time and what the first device keeps."""
    import keras

    from keras_capsules import MarginLoss, create_model, distribution

    shape = {"size": size, "input_shape": (12, 12, 1)} if size else {}
    if way == "batches":
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    elif way != "alone":
        names = ("batch", "model")
        mesh = keras.distribution.DeviceMesh((1, devices), names, keras.distribution.list_devices())
        template = create_model("capsnet", **shape)
        # The kernel of the primary capsules, 20 MiB, is copied to each device.
        layouts = distribution.layout_map(template, mesh, shard=way, max_replicated=1 << 23)
        keras.backend.clear_session()  # The model under the distribution has the same names.
        keras.distribution.set_distribution(
            keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")
        )
    model = create_model("capsnet", **shape)
    model.compile("adam", MarginLoss())
    images = np.zeros((batch, *model.input_shape[1:]), "float32")
    targets = np.zeros((batch, *model.output_shape[1:]), "float32")
    step = {way: lambda: model.train_on_batch(images, targets)}
    milliseconds = results.medians(step, 5)[way]
    variables = [*model.variables, *model.optimizer.variables]
    return {
        "way": way,
        "devices": devices,
        "parameters MB": 4 * model.count_params() / 1e6,
        "kept MB": sum(_on_first_device(variable.value) for variable in variables) / 1e6,
        "step ms": milliseconds,
    }


def _on_first_device(value) -> int:
    return value.addressable_shards[0].data.nbytes


def sent(folder: Path) -> int:
    """Returns the bytes of the collective operations in the largest program of a folder.

    Those in the body of a loop count as often as the loop runs.
    """
    programs = folder.glob("*after_optimizations.txt")
    text = max((path.read_text() for path in programs), key=len)
    found, loops, computation = [], {}, ""
    for line in text.splitlines():
        if begin := COMPUTATION.match(line):
            computation = begin["name"]
        if loop := LOOP.search(line):
            loops[loop["body"]] = int(loop["count"]), computation
        if operation := COLLECTIVE.search(line):
            found.append((computation, bytes_of(operation["result"])))

    def times(name):
        count, around = loops.get(name, (1, None))
        return count if around is None else count * times(around)

    return sum(times(name) * size for name, size in found)


def bytes_of(types: str) -> int:
    """Returns the bytes of tensors such as `(f32[10,16]{1,0}, f32[])`."""
    total = 0
    for found in TENSOR.finditer(types):
        sizes = (int(size) for size in found["sizes"].split(",") if size)
        total += BYTES[found["dtype"]] * math.prod(sizes)
    return total


if __name__ == "__main__":
    main()
