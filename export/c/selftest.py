"""Writes the program that replays sealed inputs, and the one that the export verifies with."""

import numpy as np

from export.c.interface import Interface, c_string
from export.write import C_BEGINNING

_SELFTEST = """{beginning}replays inputs with known outputs, those of
   {reference}. It says whether this chip computes what the model did, and exits with 0 or 1. */
#include <math.h>
#include <stdio.h>

#include "{header}"

{arrays}
static int failed = 0;

static double larger(double one, double other) {{
    return one > other ? one : other;
}}

static double difference(double expected, double found) {{
    if (!isfinite(expected)) {{
        return found == expected || (isnan(found) && isnan(expected)) ? 0 : INFINITY;
    }}
    return isfinite(found) ? fabs(found - expected) : INFINITY;
}}

static void judge(const char *suite, const char *output, double most, double allowed) {{
    int right = most <= allowed;
    const char *verdict = right ? "ok" : "WRONG";
    printf("%-20s %-16s %9.1e of %9.1e  %s\\n", suite, output, most, allowed, verdict);
    failed |= !right;
}}

{suites}
int main(void) {{
{calls}
    puts(failed ? "FAILED: this chip computes something else than the model"
                : "PASSED: this chip computes what the model did");
    return failed;
}}
"""

_RUNNER = """#include <stdio.h>

#include "{header}"

{arrays}
int main(void) {{
    FILE *in = fopen("inputs", "rb"), *out = fopen("outputs", "wb");
    if (!in || !out) {{
        return 1;
    }}
    while ({read}) {{
        {call}
        if (!({write})) {{
            return 1;
        }}
    }}
    return fclose(out) != 0;
}}
"""


def selftest(interface: Interface, header: str, seal: dict, arrays: dict[str, np.ndarray]) -> str:
    """Returns the program that replays a seal.

    Args:
        interface: What the network takes and gives.
        header: Name of its header file.
        seal: What `export.verify.read_seal` returns, with its arrays.
        arrays: The sealed arrays.
    """
    suites = range(len(seal["suites"]))
    return _SELFTEST.format(
        beginning=C_BEGINNING,
        header=header,
        reference=seal["reference"],
        arrays=_buffers(interface),
        suites="\n".join(_suite(interface, seal, i, arrays) for i in suites),
        calls="\n".join(f"    suite_{i}();" for i in suites),
    )


def runner(interface: Interface, header: str) -> str:
    """Returns a program that runs the network on the file `inputs`, and writes `outputs`."""
    inputs, outputs = interface.buffers
    return _RUNNER.format(
        header=header,
        arrays=_buffers(interface),
        read=" && ".join(f"fread({x.name}, sizeof {x.name}, 1, in) == 1" for x in inputs),
        call=interface.call,
        write=" && ".join(f"fwrite({x.name}, sizeof {x.name}, 1, out) == 1" for x in outputs),
    )


def _buffers(interface):
    return "".join(f"static {x.declared};\n" for group in interface.buffers for x in group)


def _suite(interface, seal, number, arrays):
    """Returns a function that runs one suite, with its arrays."""
    suite, known, body = seal["suites"][number], [], []
    inputs, outputs = interface.buffers
    for index, value in enumerate(inputs):
        name = f"suite_{number}_input_{index}"
        known.append(_constants(name, arrays[name], value.kind))
        body += [
            f"        for (uint64_t i = 0; i < {value.length}; i++) {{",
            f"            (({value.kind} *){value.name})[i] = "
            f"{name}[(run * {value.length} + i) % {len(arrays[name])}];",
            "        }",
        ]
    body.append(f"        {interface.call}")
    runs, ends = suite["samples"] // interface.inputs[0].sizes[0], []
    for index, value in enumerate(outputs):
        name = f"suite_{number}_output_{index}"
        known.append(_constants(name, arrays[name], value.kind))
        # The sealed values are evenly spread over the outputs of all runs.
        place = f"at_{index} * {runs * value.length} / {len(arrays[name])}"
        body += [
            f"        for (; at_{index} < {len(arrays[name])} && "
            f"{place} < (run + 1) * {value.length}; at_{index}++) {{",
            f"            most_{index} = larger(most_{index}, difference({name}[at_{index}], "
            f"(({value.kind} *){value.name})[{place} - run * {value.length}]));",
            "        }",
        ]
        words = f"{c_string(suite['name'])}, {c_string(seal['outputs'][index]['name'])}"
        ends.append(f"    judge({words}, most_{index}, {suite['allowed'][index]!r});")
    counts = range(len(interface.outputs))
    return "\n".join(
        [
            *known,
            f"static void suite_{number}(void) {{",
            *(f"    double most_{index} = 0;\n    uint64_t at_{index} = 0;" for index in counts),
            f"    for (uint64_t run = 0; run < {runs}; run++) {{",
            *body,
            "    }",
            *ends,
            "}",
            "",
        ]
    )


def _constants(name, array, kind):
    texts = [_constant(value) for value in array.tolist()]
    rows = [", ".join(texts[start : start + 6]) for start in range(0, len(texts), 6)]
    lines = ",\n    ".join(rows)
    return f"static const {kind} {name}[{len(array)}] = {{\n    {lines}\n}};\n"


def _constant(value):
    if isinstance(value, float):
        exact = value.hex() if np.isfinite(value) else ""
        return exact or ("NAN" if np.isnan(value) else "INFINITY" if value > 0 else "-INFINITY")
    return str(int(value))
