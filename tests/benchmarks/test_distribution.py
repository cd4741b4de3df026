"""Tests how the benchmark of several devices counts bytes."""

import json

import pytest
from conftest import run_python

from benchmarks import distribution

PROGRAM = """
%inner (a: f32[7]) -> f32[7] {
  %e = f32[7]{0} all-reduce(f32[7]{0} %x), channel_id=4
}

%outer.1 (a: f32[7]) -> f32[7] {
  %w = (s32[]) while(%t), condition=%c, body=%inner, backend_config={"known_trip_count":{"n":"3"}}
}

ENTRY %main (x: f32[10,16]) -> f32[] {
  %w = (s32[]) while(%t), condition=%c, body=%outer.1, backend_config={"known_trip_count":{"n":"5"}}
  %a = f32[10,16]{1,0} all-reduce(f32[10,16]{1,0} %x), channel_id=1
  %b = (f32[4]{0}, bf16[2,3]{1,0}) all-gather(f32[2]{0} %y, bf16[1,3]{1,0} %z), dimensions={0}
  %c = f32[100]{0} add(f32[100]{0} %p, f32[100]{0} %q)
  %d = pred[] all-reduce(pred[] %r), channel_id=3
"""


def test_bytes_of_collective_operations(tmp_path):
    (tmp_path / "m.jit_train_step.cpu_after_optimizations.txt").write_text(PROGRAM)
    (tmp_path / "m.jit_small.cpu_after_optimizations.txt").write_text("f32[9] all-reduce(")
    assert distribution.sent(tmp_path) == 10 * 16 * 4 + 4 * 4 + 2 * 3 * 2 + 1 + 15 * 7 * 4


@pytest.mark.distributed
def test_batches_send_each_weight_once_and_parents_keep_their_share(tmp_path):
    file = tmp_path / "figures.json"
    options = ["--devices", "2", "--size", "tiny", "--batch", "4", "--json", str(file)]
    run_python("-m", "benchmarks.distribution", *options)
    rows = {row["way"]: row for row in json.loads(file.read_text())["rows"]}
    assert rows["batches"]["sent MB"] == pytest.approx(rows["batches"]["parameters MB"], rel=0.02)
    assert rows["parents"]["kept MB"] < 0.6 * rows["batches"]["kept MB"]
    assert rows["parents"]["sent MB"] < 0.1 * rows["batches"]["sent MB"]
