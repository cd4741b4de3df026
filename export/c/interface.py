"""Knows what a program of C takes and gives, and writes its header and what it says of labels."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from export.write import C_BEGINNING

_PARAMETER = re.compile(r"(const )?(\w+) (\w+)((?:\[(?:restrict )?\d+\])+)")


@dataclass(frozen=True)
class Array:
    """Input or output of a program, whose `kind` is its type in C."""

    kind: str
    name: str
    sizes: tuple[int, ...]

    @property
    def length(self) -> int:
        """The number of values."""
        return math.prod(self.sizes)

    @property
    def declared(self) -> str:
        """The declaration of the array."""
        return f"{self.kind} {self.name}{''.join(f'[{size}]' for size in self.sizes)}"

    @property
    def pointer(self) -> str:
        """The type of a pointer to its first element."""
        inner = "".join(f"[{size}]" for size in self.sizes[1:])
        return f"{self.kind} (*){inner}" if inner else f"{self.kind} *"


@dataclass(frozen=True)
class Interface:
    """What a program takes and gives, and what its scores mean.

    Attributes:
        name: First word of its functions' names.
        inputs: The inputs.
        outputs: The outputs.
        scored: Index of the output of scores.
        facts: The properties of the file by name, see `export.graph.metadata`.
        sha256: Digest of the ONNX file.
    """

    name: str
    inputs: list[Array]
    outputs: list[Array]
    scored: int
    facts: Mapping[str, Any]
    sha256: str

    @property
    def function(self) -> str:
        """The name of the function that computes the outputs."""
        return f"{self.name}_run"

    @property
    def scores(self) -> Array:
        """The output of scores."""
        return self.outputs[self.scored]

    @property
    def buffers(self) -> tuple[list[Array], list[Array]]:
        """Arrays for inputs and outputs, with names that nothing else has."""
        arrays = ("input", self.inputs), ("output", self.outputs)
        inputs, outputs = (
            [replace(x, name=f"{word}_{i}") for i, x in enumerate(group)] for word, group in arrays
        )
        return inputs, outputs

    @property
    def call(self) -> str:
        """A call of the function with the arrays of `buffers`."""
        inputs, outputs = self.buffers
        given = [f"(const {array.pointer}){array.name}" for array in inputs]
        return f"{self.function}({', '.join([*given, *(array.name for array in outputs)])});"

    @property
    def labels(self) -> list[str]:
        """The names of the classes, of which there may be none."""
        return self.facts.get("class_names") or []

    @property
    def task(self) -> str:
        """What the scores mean, one of `export.options.TASKS`."""
        return self.facts.get("task", {}).get("kind", "classes")

    @property
    def tells_labels(self) -> bool:
        """Whether one label follows from the scores of one sample."""
        sizes, wanted = self.scores.sizes, {"classes": 2, "binary": 1}.get(self.task)
        return wanted is not None and len(sizes) == 2 and sizes[0] == 1 and sizes[1] >= wanted

    @property
    def takes_pixels(self) -> bool:
        """Whether the program classifies an image from its pixels."""
        kinds = {array.kind for array in self.inputs}
        images = len(self.inputs) == 1 and len(self.inputs[0].sizes) == 4
        return self.tells_labels and images and len(self.outputs) == 1 and kinds <= _PIXELS


_PIXELS = {"float", "uint8_t"}


def arrays_of(source: str, function: str) -> tuple[list[Array], list[Array]]:
    """Returns the inputs and outputs of a generated function."""
    signature = re.search(rf"^void {function}\((.*)\) {{$", source, re.M)
    found = _PARAMETER.findall(signature[1]) if signature else []
    arrays = [
        (bool(const), Array(kind, name, tuple(map(int, re.findall(r"\d+", sizes)))))
        for const, kind, name, sizes in found
    ]
    return [x for const, x in arrays if const], [x for const, x in arrays if not const]


def properties_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """Returns the properties of a file that a program needs."""
    names = ("class_names", "input_range", "task")
    return {name: json.loads(metadata[name]) for name in names if metadata.get(name)}


def header(interface: Interface) -> str:
    """Returns the header of a program."""
    name, upper = interface.name, interface.name.upper()
    parameters = [f"const {array.declared}" for array in interface.inputs]
    parameters += [array.declared for array in interface.outputs]
    low, high = interface.facts["input_range"]
    lines = [
        f"{C_BEGINNING}a neural network, for one sample a call. {name}_selftest.c shows whether a",
        f"   chip computes the same. SHA-256 of the ONNX file: {interface.sha256} */",
        f"#ifndef {upper}_H",
        f"#define {upper}_H",
        "",
        "#include <stdbool.h>",
        "#include <stdint.h>",
        "",
        "#ifdef __cplusplus",
        'extern "C" {',
        "#endif",
        "",
        "/* Inputs for a black and a white pixel. */",
        f"#define {upper}_BLACK {low!r}",
        f"#define {upper}_WHITE {high!r}",
        "",
        "/* Computes the outputs. Its memory is static: one call at a time. */",
        f"void {interface.function}({', '.join(parameters)});",
    ]
    lines += _labels_in_header(interface, upper)
    end = ["", "#ifdef __cplusplus", "}", "#endif", "", "#endif", ""]
    return "\n".join(lines + end)


def _labels_in_header(interface, upper):
    name, lines = interface.name, []
    if interface.labels:
        count = len(interface.labels)
        lines += ["", f"extern const char *const {name}_labels[{count}];"]
    if interface.task in ("labels", "binary"):
        least = interface.facts["task"]["threshold"]
        lines += ["", "/* Smallest score of a label that is present. */"]
        lines += [f"#define {upper}_THRESHOLD {float(least)!r}f"]
    if interface.tells_labels:
        none = ", or -1 for none" if interface.task == "binary" else ""
        lines += ["", f"/* Returns the number of the label that scores stand for{none}. */"]
        lines += [f"int {_label(interface)};"]
    if interface.takes_pixels:
        lines += [
            "",
            "/* Takes pixels from 0 to 255, writes the scores, and returns the label's number. */",
            f"int {_predict(interface)};",
        ]
    return lines


def _label(interface):
    return f"{interface.name}_label(const float scores[{interface.scores.length}])"


def _predict(interface):
    pixels, scores = interface.inputs[0].length, interface.scores.length
    return f"{interface.name}_predict(const uint8_t pixels[{pixels}], float scores[{scores}])"


def definitions(interface: Interface) -> str:
    """Returns the labels and the functions of the header that the generator does not write."""
    lines = []
    if interface.labels:
        texts = ",\n    ".join(map(c_string, interface.labels))
        lines += [f"const char *const {interface.name}_labels[{len(interface.labels)}] = {{"]
        lines += [f"    {texts}", "};", ""]
    if interface.tells_labels:
        lines += [f"int {_label(interface)} {{", *_label_body(interface), "}", ""]
    if interface.takes_pixels:
        lines += [f"int {_predict(interface)} {{", *_predict_body(interface), "}", ""]
    return "\n".join(["", *lines]) if lines else ""


def _label_body(interface):
    if interface.task == "binary":
        present, absent = ("0", "-1") if len(interface.labels) == 1 else ("1", "0")
        least = f"{interface.name.upper()}_THRESHOLD"
        return [f"    return scores[0] >= {least} ? {present} : {absent};"]
    return [
        "    int best = 0;",
        f"    for (int i = 1; i < {interface.scores.length}; i++) {{",
        "        if (scores[i] > scores[best]) {",
        "            best = i;",
        "        }",
        "    }",
        "    return best;",
    ]


def _predict_body(interface):
    image, upper = interface.inputs[0], interface.name.upper()
    given, lines = f"(const {image.pointer})pixels", []
    if image.kind == "float":
        given = f"(const {image.pointer})image"
        scaled = f"{upper}_BLACK + pixels[i] * (({upper}_WHITE - {upper}_BLACK) / 255)"
        lines = [
            f"    static float image[{image.length}];",
            f"    for (int i = 0; i < {image.length}; i++) {{",
            f"        image[i] = (float)({scaled});",
            "    }",
        ]
    return [
        *lines,
        f"    {interface.function}({given}, ({interface.scores.pointer})scores);",
        f"    return {interface.name}_label(scores);",
    ]


def c_string(text: str) -> str:
    """Returns a text as a string of C, in UTF-8, whatever characters it has."""
    plain = set(b" !#$%&'()*+,-./:;<=>@[]^_`{|}~") | set(range(48, 58))
    plain |= set(range(65, 91)) | set(range(97, 123))
    return '"' + "".join(chr(b) if b in plain else f"\\{b:03o}" for b in text.encode()) + '"'
