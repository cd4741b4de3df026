"""The fuzzer of `make fuzz`: its inputs are the same each time, and end as documented."""

import numpy as np
import pytest
from conftest import once

from benchmarks import fuzz, fuzz_inputs

pytestmark = once


@pytest.mark.parametrize("name", fuzz_inputs.TARGETS)
def test_inputs_end_as_documented(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, step = fuzz_inputs.ORDER.index(name), len(fuzz_inputs.ORDER)
    outcomes = [fuzz.run_input(7, first + step * number, tmp_path) for number in range(10)]
    assert {target for target, _ in outcomes} == {name}
    assert [outcome for _, outcome in outcomes if outcome.startswith("!")] == []


def test_an_undocumented_end_is_told(tmp_path, monkeypatch):
    def fail(generator, folder):
        raise KeyError("a")

    monkeypatch.setitem(fuzz_inputs.TARGETS, "archive", fail)
    assert fuzz.run_input(0, 0, tmp_path) == ("archive", "! KeyError: 'a'")


def test_changes_depend_on_the_seed_only():
    tree = {"a": [1, {"b": None}], "c": "d"}
    for change, value in ((fuzz_inputs.changed, tree), (fuzz_inputs.damaged, b"0123456789")):
        made = [repr(change(np.random.default_rng([1, n]), value)) for n in range(20)]
        assert made == [repr(change(np.random.default_rng([1, n]), value)) for n in range(20)]
        assert len(set(made)) > 10
    assert tree == {"a": [1, {"b": None}], "c": "d"}
