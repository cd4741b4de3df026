"""What two processes exchange by files."""

import keras
import numpy as np

from export.compare.suites import suite_set
from export.convert import exchange


def test_suites_and_outputs_survive_storage(saved_capsnet, tmp_path):
    model = keras.models.load_model(saved_capsnet)
    stored = suite_set(model).compared
    exchange.save_suites(tmp_path / "suites", stored)
    for before, after in zip(stored, exchange.load_suites(tmp_path / "suites"), strict=True):
        assert before.key == after.key
        np.testing.assert_array_equal(before.inputs[0], after.inputs[0])
    outputs = [[np.full(12, 10 * i + j) for j in range(12)] for i in range(12)]
    exchange.save_outputs(tmp_path / "outputs", outputs)
    assert str(exchange.load_outputs(tmp_path / "outputs")) == str(outputs)
    exchange.save_outputs(tmp_path / "outputs", "no float64")
    assert exchange.load_outputs(tmp_path / "outputs") == "no float64"
