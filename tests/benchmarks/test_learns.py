"""The study of what learns: finished runs are not repeated, and the table is made of lines."""

import pytest
from conftest import once

from benchmarks import learns, lines
from keras_capsules import list_models

pytestmark = once
FEW = ["--what", "dense", "--names", "uniform", "--digits", "64", "--epochs", "1", "--seeds", "1"]


@pytest.mark.slow
def test_runs_are_kept_and_reported(data, tmp_path, capsys):
    file = tmp_path / "learns.jsonl"
    learns.main([*FEW, "--results", str(file)])
    rows = lines.read(file)
    assert sorted(row["layers"] for row in rows) == [1, 2, 3]
    assert all(0 <= row["held_out"] <= 100 for row in rows)

    capsys.readouterr()
    learns.main([*FEW, "--results", str(file)])
    assert "0 of 3 runs to do" in capsys.readouterr().out

    learns.main(["--report", "--results", str(file)])
    told = capsys.readouterr().out
    for row in rows:
        assert f"| dense | uniform | {row['layers']} | 0.001, batch 64 | 1 |" in told


def planned(monkeypatch, *arguments):
    runs = []
    monkeypatch.setattr(learns.lines, "performed", lambda _, todo, jobs: runs.extend(todo) or [])
    learns.main([*arguments, "--results", "none.jsonl"])
    return runs


def test_the_plan(monkeypatch):
    runs = planned(monkeypatch)
    assert len(runs) == len(set(runs)) == 1 + 2 * (len(list_models(task="images")) + 2 * 10 * 3)
    recipes = {run.name: (run.learning_rate, run.decay, run.batch) for run in runs}
    assert recipes["capsnet"] == recipes["em"] == (1e-3, False, 64)
    assert recipes["variational_capsnet"] == (2e-3, True, 32)
    given = "--names", "variational_capsnet", "--batch", "16", "--learning-rate", "1e-2"
    (run,) = planned(monkeypatch, "--what", "models", "--seeds", "1", *given)
    assert (run.learning_rate, run.decay, run.batch) == (1e-2, True, 16)
    assert len(planned(monkeypatch, "--names", "em", "--what", "models", "dense")) == 2 * 3


def test_a_name_that_does_not_exist_is_told(capsys):
    with pytest.raises(SystemExit):
        learns.main(["--what", "models", "--names", "capsnets"])
    assert "--names capsnets fits none of models" in capsys.readouterr().err


def test_the_table_is_the_mean_over_seeds():
    usual = learns.Run("models", "capsnet", 1, 0, "jax", 5000, 2, 0.0, 1e-3, False, 64)
    rows = [
        {**vars(usual), "seed": seed, "training": 90.0, "held_out": held_out}
        for seed, held_out in ((1, 80.0), (0, 85.0))
    ]
    rows.append({**rows[0], "backend": "torch"})
    told = learns.report(rows)
    assert "| models | capsnet | 1 | 0.001, batch 64 | 2 | 90 | 82.5 | 80 |" in told
    assert sum(line.startswith("##") for line in told) == 2
