"""Measures the networks for microcontrollers as programs of C: accuracy, sizes and instructions.

    KERAS_CAPSULES_DATA=data python -m benchmarks.microcontroller

Each network with weights for `micro_mnist` is exported with `--c`. The program that the compiler of
this machine makes reads all test digits, and on an emulated Cortex-M7 the first 200. The sizes are
those of `arm-none-eabi-size`: of the network's object file, which has code and weights, and of a
program with the parts of the C library that it needs. Instructions are those of one digit, counted
by the emulator.
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import export
from benchmarks import results
from benchmarks.cards import test_data
from export.c import build
from keras_capsules import create_model, list_models

WEIGHTS = "micro_mnist"
ON_THE_CHIP = 200
NANOSECONDS_OF_A_TICK = 40  # The emulated chip has 25 MHz. An instruction takes one nanosecond.
MAIN = """#include <stdio.h>
#include "micro.h"

#ifdef __arm__
#define TIMER ((volatile uint32_t *)0xE000E010)
#endif

int main(void) {
    static uint8_t pixels[784];
    static float scores[10];
    uint32_t ticks = 0;
    FILE *in = fopen("pixels", "rb"), *out = fopen("labels", "wb");
    while (fread(pixels, sizeof pixels, 1, in) == 1) {
#ifdef __arm__
        TIMER[1] = 0xFFFFFF;
        TIMER[2] = 0;
        TIMER[0] = 5;
#endif
        fputc(micro_predict(pixels, scores), out);
#ifdef __arm__
        ticks = 0xFFFFFF - TIMER[2];
#endif
    }
    printf("%lu", (unsigned long)ticks);
    return fclose(out);
}
"""
BARE = """#include "micro.h"
static uint8_t pixels[784];
static float scores[10];
int main(void) { return micro_predict(pixels, scores); }
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list_models(weights=WEIGHTS))
    results.add_options(parser, "microcontroller")
    options = parser.parse_args()
    rows = [row(name) for name in options.names]
    results.publish(rows, ["model"], options)


def row(name: str) -> dict:
    """Exports a network, runs its program, and returns its figures."""
    images, labels = test_data(WEIGHTS)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = create_model(name, WEIGHTS)
        export.export_onnx(model, folder / "micro.onnx", c=True)
        (folder / "main.c").write_text(MAIN)
        (folder / "bare.c").write_text(BARE)
        found, _ = answers(build.here(), folder, images)
        chip = build.emulated_chip()
        if chip is None:
            raise SystemExit("arm-none-eabi-gcc or qemu-system-arm is missing")
        on_chip, ticks = answers(counting(chip), folder, images[:ON_THE_CHIP])
        need = build.compile_network(chip, folder, "micro.c")
        build.link(chip, folder, "bare.c", "bare")
        text, data, bss = sections(folder / build.NETWORK)
        linked = sections(folder / "bare")
    return {
        "model": name,
        "parameters": model.count_params(),
        "right": f"{100 * np.mean(found == labels):.2f} %",
        "same on the chip": f"{np.sum(on_chip == found[:ON_THE_CHIP])} of {ON_THE_CHIP}",
        "text": text,
        "data": data,
        "bss": bss,
        "stack": need.stack,
        "flash with library": linked[0] + linked[1],
        "instructions": ticks * NANOSECONDS_OF_A_TICK,
    }


def counting(chip: build.Machine) -> build.Machine:
    """Returns the emulated chip with a clock that counts instructions."""
    emulator, *others = chip.start
    return chip._replace(start=(emulator, "-icount", "shift=0", *others))


def answers(machine: build.Machine, folder: Path, images: np.ndarray) -> tuple[np.ndarray, int]:
    """Returns the labels that the program finds, and the ticks of the last image."""
    (folder / "pixels").write_bytes(images.tobytes())
    build.compile_network(machine, folder, "micro.c")
    build.link(machine, folder, "main.c", "main")
    done = build.start(machine, folder, "main")
    if done.returncode:
        raise SystemExit(f"the program on {machine.name} ended with {done.returncode}")
    return np.frombuffer((folder / "labels").read_bytes(), "uint8"), int(done.stdout)


def sections(file: Path) -> list[int]:
    """Returns the bytes of text, data and bss of a program for the chip."""
    done = subprocess.run(
        ["arm-none-eabi-size", str(file)], capture_output=True, text=True, check=True
    )
    return [int(size) for size in done.stdout.splitlines()[1].split()[:3]]


if __name__ == "__main__":
    main()
