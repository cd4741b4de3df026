"""Gives the values between a program's steps places in one static memory, which they share.

The generator declares each value as an array of its own, on the stack. Most live only from one step
to the next, so the places overlap, and the need is known before the program runs.
"""

import math
import re
from dataclasses import dataclass

_DECLARED = re.compile(r"^    (\w+) (\w+)((?:\[\d+\])+);$")
_OUTPUT = re.compile(r"(?:\(|, )(\w+) (\w+)((?:\[(?:restrict )?\d+\])+)")
_CALL = re.compile(r"^    \w+\((.*)\);$")


@dataclass
class _Value:
    """An array of the program, with the first and the last line that names it."""

    kind: str
    sizes: list[int]
    first: int
    last: int
    start: int = 0

    @property
    def length(self) -> int:
        return math.prod(self.sizes)

    @property
    def end(self) -> int:
        return self.start + self.length

    @property
    def pointer(self) -> str:
        """The type of a pointer to the array's first element."""
        inner = "".join(f"[{size}]" for size in self.sizes[1:])
        return f"{self.kind} (*){inner}" if inner else f"{self.kind} *"


def in_static_memory(source: str, function: str) -> str:
    """Moves the arrays of a function from the stack to static memory.

    Args:
        source: The program.
        function: Name of the function, whose lines declare arrays and call a step each.
    """
    begin = source.index(f"\nvoid {function}(") + 1
    end = source.index("\n}\n", begin)
    head, *lines = source[begin:end].split("\n")
    declared = [match for match in map(_DECLARED.match, lines) if match]
    own = _values(declared, lines)
    outputs = _values(_OUTPUT.finditer(head), lines)
    _place(list(own.values()))
    kinds = {value.kind: 0 for value in own.values()}
    for value in own.values():
        kinds[value.kind] = max(kinds[value.kind], value.end)
    memory = [f"static {kind} {_memory(kind)}[{size}];" for kind, size in kinds.items()]
    body = [_line(number, line, own | outputs) for number, line in enumerate(lines)]
    return source[:begin] + "\n".join([*memory, "", head, *body]) + source[end:]


def _values(declared, lines):
    """Returns declared arrays by name."""
    values = {}
    for kind, name, sizes in (match.groups() for match in declared):
        values[name] = _Value(kind, list(map(int, re.findall(r"\d+", sizes))), len(lines), 0)
    for number, line in enumerate(lines):
        for name in () if _DECLARED.match(line) else re.findall(r"\w+", line):
            if name in values:
                value = values[name]
                value.first, value.last = min(value.first, number), max(value.last, number)
    return values


def _place(values):
    """Gives each array the first place that is free while it lives, large ones first."""
    placed = []
    for value in sorted(values, key=lambda value: (-value.length, value.first)):
        rivals = [
            other
            for other in placed
            if other.kind == value.kind and value.first <= other.last and other.first <= value.last
        ]
        for other in sorted(rivals, key=lambda other: other.start):
            if other.start < value.end and value.start < other.end:
                value.start = other.end
        placed.append(value)


def _line(number, line, values):
    """Returns a line of the function, in which arrays are pointers into the memory."""
    match = _DECLARED.match(line)
    if match:
        value = values[match[2]]
        place = f"({value.pointer})({_memory(value.kind)} + {value.start})"
        return f"    {value.pointer.replace('*', f'*const {match[2]}', 1)} = {place};"
    match = _CALL.match(line)
    if not match:
        return line
    given = [_argument(name, number, values) for name in match[1].split(", ")]
    return f"{line[: match.start(1)]}{', '.join(given)}{line[match.end(1) :]}"


def _argument(name, number, values):
    """Casts an array that a step reads: C99 does not turn it into one of constants."""
    value = values.get(name)
    if value is None or value.first == number:
        return name
    return f"(const {value.pointer}){name}"


def _memory(kind):
    return f"memory_{kind}"
