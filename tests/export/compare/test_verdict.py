"""Small versions of the studies of planted faults and of false alarms."""

import pytest
from conftest import once

from benchmarks import false_alarms, mutations

pytestmark = once


@pytest.mark.parametrize("name", ["leaky", "convolutions"])
def test_planted_faults_are_caught(name):
    """`python -m benchmarks.mutations` plants hundreds, in ten models."""
    pytest.importorskip("sklearn")
    found = mutations.study(name, 17, float64=false_alarms.float64_here)
    assert len({fault.kind for fault in found}) >= 10
    assert [fault for fault in found if fault.legal > mutations.BIG and not fault.caught] == []
    assert sum(bool(fault.caught) for fault in found) >= 12


@pytest.mark.parametrize(
    "kind, number",
    [("saturated softmaxes", 1), ("small outputs", 0), ("several outputs", 1)],
)
def test_right_files_pass(kind, number):
    """`python -m benchmarks.false_alarms` compares hundreds, of more kinds."""
    assert false_alarms.judge(kind, number).passed
