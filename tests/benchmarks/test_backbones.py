"""The study of heads on backbones: ten steps at each scale, and a table made of lines."""

import pytest
from conftest import once

from benchmarks import backbones, lines

pytestmark = once


@pytest.mark.slow
def test_lines_of_a_backbone(data, tmp_path, capsys):
    file = tmp_path / "backbones.jsonl"
    backbones.main(["--only", "vector", "--results", str(file)])
    rows = lines.read(file)
    assert {(row["head"], row["scale"]) for row in rows} == {
        (head, scale) for head in backbones.HEADS for scale in backbones.SCALES
    }
    for row in rows:
        assert row["last"] < 0.99 * row["first"] and row["after"] < 0.99 * row["before"]
        assert row["saved"] <= 1e-6 and row["map"] and not row["frozen"]

    backbones.main(["--only", "vector", "--results", str(file)])
    assert "0 of 1 backbones to do" in capsys.readouterr().out


def test_the_table_counts_what_fails():
    row = {"backbone": "vector", "backend": "jax", "frozen": False, "right": 0.5, "saved": 0.0}
    good = {"first": 1.0, "last": 0.5, "before": 1.0, "after": 0.75, "map": True, "exported": True}
    bad = {"first": 1.0, "last": 1.25, "before": 1.0, "after": 1.0, "map": False}
    *_, told = backbones.report([row | good, row | bad])
    assert told == "| vector | jax | 1 of 2 | 1 of 2 | -25 | 50 | 0 | 1 of 2 | 1 of 1 |"
