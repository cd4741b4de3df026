"""The comparison of thirteen heads: equal terms, the same runs each time, and a report of lines."""

import json
import re
import shutil

import keras
import numpy as np
import pytest
from conftest import ROOT, once, run_python

from benchmarks import lines
from benchmarks.settle import __main__ as settle
from benchmarks.settle import changes, claims, cost, heads, rates, report, runs, tasks

pytestmark = once
DIGITS = (28, 28, 1)


@pytest.mark.slow
def test_the_whole_pipeline(data, tmp_path, capsys):
    """Runs, resumes and reports."""
    results, build = tmp_path / "results", tmp_path / "build"
    options = ["--results", str(results), "--build", str(build)]
    few = ["--tiny", "--seeds", "1", "--only", "mnist/dynamic/margin", "pairs/dense/*"]
    for pilot in rates.planned():
        lines.append(results / rates.FILE, pilot._asdict() | {"accuracy": 0.5})
    run_python("-m", "benchmarks.settle", *few, *options)
    rows = runs.read(results)
    assert {line["rate"] for line in rows} == {min(rates.RATES)}
    assert {tuple(runs.identity(line)) for line in rows} == {
        ("mnist", "dynamic", "margin", 0),
        ("pairs", "dense", "margin", 0),
    }

    settle.main(["--tiny", "--seeds", "1", "--only", "mnist/dynamic/margin", *options])
    assert "0 of 1 runs to do" in capsys.readouterr().out

    settle.main(["--report", *options])
    told = capsys.readouterr().out
    assert (build / "report.md").read_text() in told
    (digits,) = (line for line in rows if line["task"] == "mnist")
    assert re.search(rf"\| dynamic \| margin \| 1 \| {100 * digits['accuracy']:.2f} ", told)
    assert {file.name for file in build.glob("*.png")} >= {"errors.png", "angles_mnist.png"}

    assert np.load(results / "mnist.npz")["dynamic/margin/0"].shape == (tasks.TINY, 4)


def test_predictions_are_packed_with_those_of_before(tmp_path, generator):
    """Even where these were packed elsewhere, so that only the packed file came."""
    rows = [
        runs.Run("mnist", "em", "margin", seed)._asdict() | {"accuracy": 1 / 3} for seed in (0, 1)
    ]
    scores = [generator.random((5, 10), dtype="float32") for _ in rows]
    for row, of_run in zip(rows, scores, strict=True):
        runs.write(tmp_path, row, of_run)
        runs.pack(tmp_path)
        shutil.rmtree(tmp_path / "scores")
    assert runs.read(tmp_path) == [row | {"accuracy": 0.333333} for row in rows]
    packed = np.load(tmp_path / "mnist.npz")
    for seed, of_run in enumerate(scores):
        found, order = packed[f"em/margin/{seed}"], np.argsort(of_run, axis=1)
        np.testing.assert_array_equal(found[:, :2], order[:, [9, 8]])
        highest = np.sort(of_run, axis=1)[:, [9, 8]]
        np.testing.assert_allclose(found[:, 2:] / 255, highest, rtol=0, atol=0.5001 / 255)


def test_a_report_without_runs_says_so(tmp_path, capsys):
    with pytest.raises(SystemExit):
        settle.main(["--report", "--results", str(tmp_path)])
    assert "not a finished run" in capsys.readouterr().err


def test_a_trial_does_not_reach_the_results(capsys):
    with pytest.raises(SystemExit):
        settle.main(["--tiny"])
    assert "--results" in capsys.readouterr().err


def test_what_a_head_costs_is_measured_once(tmp_path, monkeypatch, capsys):
    """On each backend, and the file where there is one."""
    asked = []

    def in_process(module, arguments, backend):
        asked.append((*arguments, backend))
        row = {"head": arguments[0], "backend": backend, "epoch_seconds": 12.5}
        return row | ({"ms": 0.25, "bytes": 123456, "nodes": 77} if backend == "tensorflow" else {})

    monkeypatch.setattr(settle.results, "in_process", in_process)
    for _ in range(2):
        settle.main(["--cost", "--results", str(tmp_path)])
    assert len(asked) == len(set(asked)) == 13 * 3
    told = report.price(lines.read(tmp_path / cost.FILE))
    assert "| em | 12.5 | 12.5 | 12.5 | 0.25 | 123,456 | 77 |" in told
    capsys.readouterr()


def test_the_cost_of_a_head(data):
    row = run_python("-m", "benchmarks.settle.cost", "average_pooling").stdout.splitlines()[-1]
    found = json.loads(row)
    assert 0 < found["ms"] < found["epoch_seconds"] * 1000
    assert found["nodes"] < 20 and 150_000 < found["bytes"] < 250_000


def test_runs_need_their_learning_rates(capsys, tmp_path):
    with pytest.raises(SystemExit):
        settle.main(["--results", str(tmp_path)])
    assert "--rates" in capsys.readouterr().err


def test_the_best_rate_is_chosen():
    best = {"em": 4e-3, "dense": 1e-3}
    rows = [
        pilot._asdict() | {"accuracy": 0.9 + 0.01 * (pilot.rate == best.get(pilot.head))}
        for pilot in rates.planned()
    ]
    for row in rows:  # One collapse counts more than two good ones.
        if row["rate"] == 8e-3:
            row["accuracy"] = 0.1 if row["seed"] == 101 else 0.99
    found = rates.chosen(rows)
    assert rates.rate_of(found, "em_4_layers", "margin") == best["em"]
    assert rates.rate_of(found, "dense", "cross_entropy") == best["dense"]
    assert rates.rate_of(found, "kmeans", "margin") == min(rates.RATES)
    with pytest.raises(ValueError, match="Missing: 1, such as"):
        rates.chosen(rows[:-1])


def test_a_pilot_is_judged_on_held_out_digits(data):
    found = runs.piloted(rates.Pilot("dense", "margin", 1e-3, 100), tiny=True)
    assert found.pop("accuracy") in np.arange(tasks.TINY + 1) / tasks.TINY
    assert found == {"head": "dense", "loss": "margin", "rate": 1e-3, "seed": 100}


def test_a_training_ends_at_its_target(data):
    """After the first epoch that reaches it, and its result counts only if it did."""
    run, task = runs.Run("affnist", "dense", "margin", 0), tasks.TASKS["affnist"]
    digits = tasks.tiny(task.load())
    easy, never = task._replace(target=0.01), task._replace(target=1.1)
    steps = [runs.trained(run, 1e-3, each, digits, 3)[1]["steps"] for each in (easy, never)]
    assert steps == [2, 6]
    rows = [
        run._replace(seed=seed)._asdict() | {"accuracy": 0.5, "clean": clean}
        for seed, clean in enumerate([0.97, 0.98])
    ]
    assert claims.by_seed(rows, "affnist", "dense", "margin", "accuracy") == {1: 0.5}


def test_the_learning_rate_falls_by_epoch():
    falling = runs.cosine(0.2, 4)
    np.testing.assert_allclose([falling(epoch) for epoch in (0, 2, 4)], [0.2, 0.1, 0], atol=1e-12)


def test_batches_are_full():
    """A batch of another size would be compiled separately."""
    assert all(task.images % runs.BATCH == 0 for task in tasks.TASKS.values() if task.images)
    assert 55_000 % runs.BATCH == 45_000 % runs.BATCH == 0


def test_variants_vary_one_thing():
    routings = {name: heads.routing_of(name) for name in heads.VARIANTS}
    assert {(type(r).__name__, r.iterations, depth) for r, depth in routings.values()} == {
        (name, iterations, depth)
        for name in ("DynamicRouting", "EMRouting")
        for iterations, depth in [(1, 1), (2, 1), (4, 1), (5, 1), (3, 2), (3, 3), (3, 4)]
    }
    sizes = [
        heads.network(head, "margin", DIGITS, 0).count_params()
        for head in ("dynamic", *heads.VARIANTS)
    ]
    assert max(sizes) < 1.03 * min(sizes)


def test_the_plan():
    plan = runs.planned(["*"], 5)
    assert len(plan) == len(set(plan)) == 13 * 5 * 8 + 14 * 5
    assert len(runs.planned(["mnist/*/*"], 5)) == 13 * 2 * 5
    assert runs.planned(["nothing/*"], 5) == []


def test_all_heads_have_the_same_parameters_and_the_same_trunk():
    networks = [
        heads.network(head, loss, DIGITS, 3) for head in heads.HEADS for loss in heads.LOSSES
    ]
    sizes = [network.count_params() for network in networks]
    assert max(sizes) < 1.03 * min(sizes)
    assert 40_000 < min(sizes) < max(sizes) < 60_000
    for network in networks[1:]:
        for number in range(3):
            name = f"trunk_{number}"
            kernels = (each.get_layer(name).kernel.numpy() for each in (networks[0], network))
            np.testing.assert_array_equal(*kernels)


@pytest.mark.parametrize("loss", heads.LOSSES)
@pytest.mark.parametrize("head", ["em", "excitation", "dense", "inverted_dot_product"])
def test_scores_are_in_the_range_of_the_loss(head, loss, generator):
    images = generator.random((5, *DIGITS), dtype="float32")
    scores = heads.network(head, loss, DIGITS, 0).predict(images, verbose=0)
    assert scores.shape == (5, 10) and (scores >= 0).all() and (scores <= 1).all()
    if loss == "cross_entropy":
        np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-5)


def test_the_excitation_by_hand(generator):
    images = generator.random((2, *DIGITS), dtype="float32")
    network = heads.network("excitation", "margin", DIGITS, 0)
    primary = keras.Model(network.input, network.get_layer("primary").output)
    hidden, gates = (network.get_layer(name).get_weights() for name in ("squeeze", "excite"))
    u = primary.predict(images, verbose=0).reshape(2, -1).astype("float64")
    logits = np.maximum(u @ hidden[0] + hidden[1], 0) @ gates[0] + gates[1]
    v = (1 / (1 + np.exp(-logits))).reshape(2, 10, 8)
    expected = np.sqrt((v**2).sum(axis=-1) / 8)
    np.testing.assert_allclose(network.predict(images, verbose=0), expected, rtol=1e-5)


def test_multiply_adds_by_hand():
    width = heads.width_of("dense", "margin", DIGITS)
    trunk = 14 * 14 * 25 * 16 + 49 * 9 * 16 * 32 + 49 * 9 * 32 * 32
    head = 9 * 9 * 32 * width + 9 * width * 10
    assert heads.multiply_adds(heads.network("dense", "margin", DIGITS, 0)) == trunk + head
    width = heads.width_of("uniform", "margin", DIGITS)
    children = 9 * 4
    head = 9 * 9 * 32 * width + 9 * width * 32 + children * 10 * 8 * 8 + children * 10 * 8
    assert heads.multiply_adds(heads.network("uniform", "margin", DIGITS, 0)) == trunk + head


def test_shifts_are_windows_of_the_padded_image(generator):
    pixels = generator.integers(0, 256, (20, 6, 5, 1), dtype="uint8")
    labels = np.arange(20) % 10
    images, one_hot = tasks.shifted(2)(pixels, labels, np.random.default_rng(1))
    np.testing.assert_array_equal(one_hot.argmax(axis=1), labels)
    padded = np.pad(pixels, ((0, 0), (2, 2), (2, 2), (0, 0))) / 255
    for image, source in zip(images, padded, strict=True):
        windows = [source[y : y + 6, x : x + 5] for y in range(5) for x in range(5)]
        assert min(np.abs(window - image).max() for window in windows) < 1e-6
    assert len(np.unique(images.sum(axis=(1, 2, 3)))) > 10


def test_paired_runs_share_their_subset(data):
    task = tasks.TASKS["mnist_500"]
    first, again, other = (task.training(task.load(), seed)[0] for seed in (0, 0, 1))
    assert len(first) == 500
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_changes_of_images(generator):
    image = generator.random((8, 8, 1), dtype="float32")
    images = np.repeat(image[None], 30, axis=0)
    quadrants = [image[y : y + 4, x : x + 4] for y in (0, 4) for x in (0, 4)]
    for changed in changes.shuffled(images, generator):
        found = [changed[y : y + 4, x : x + 4] for y in (0, 4) for x in (0, 4)]
        assert not any((a == b).all() for a, b in zip(found, quadrants, strict=True))
        assert sorted(part.sum() for part in found) == sorted(part.sum() for part in quadrants)
    quarter = changes.turned(images[:2], 90)[..., 0]
    turns = [np.rot90(image[..., 0]), np.rot90(image[..., 0], -1)]
    assert {tuple(map(bool, [np.allclose(q, t, atol=1e-5) for t in turns])) for q in quarter} == {
        (True, False),
        (False, True),
    }
    grey = changes.occlusion(images, generator) != images
    assert set(grey.sum(axis=(1, 2, 3))) == {4}
    pale = changes.contrast(images, generator)
    np.testing.assert_allclose(pale.std(axis=(1, 2)), 0.3 * images.std(axis=(1, 2)), rtol=1e-5)
    np.testing.assert_allclose(pale.mean(axis=(1, 2)), images.mean(axis=(1, 2)), rtol=1e-5)


def test_the_claims_are_those_of_the_rule():
    text = (ROOT / "docs/which-one-rule.md").read_text()
    told = re.findall(
        r"^\| `(\w+)` \|.*\| (not more|more) than ([\d.]+)( points?)? \|$", text, re.M
    )
    expected = {
        name: (claim.more, pytest.approx(claim.smallest)) for name, claim in claims.CLAIMS.items()
    }
    found = {
        name: (sentence == "more", float(limit) * (0.01 if points else 1))
        for name, sentence, limit, points in told
    }
    assert found == expected


def test_differences_are_within_a_seed():
    claim = claims.CLAIMS["seed_accuracy"]
    rows = [
        {"task": "mnist", "loss": "margin", "head": head, "seed": seed, "accuracy": accuracy}
        for head, accuracies in (("dynamic", (0.9, 0.8, 0.7)), ("excitation", (0.8, 0.9)))
        for seed, accuracy in enumerate(accuracies)
    ]
    np.testing.assert_allclose(claims.paired(claim, "dynamic", rows), [0.1, -0.1])
    assert claims.conclusion(claim, claims.judged(claim, rows)) == "cannot be told"
