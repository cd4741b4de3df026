"""Each routing in `CapsuleLayer` and in `ConvCapsule2D`, as the table in docs/ has them."""

import keras
import numpy as np
import pytest

from benchmarks import routings

torch_only = pytest.mark.skipif(
    keras.backend.backend() != "torch",
    reason="`python -m benchmarks.routings` does it on each backend; torch needs not compile",
)


@torch_only
def test_config_step_file_and_export():
    rows = routings.check()
    assert len(rows) == 20
    for row in rows:
        assert routings.passed(row), row


def test_what_does_not_pass():
    row = {"config": True, "reloaded": 0.0, "loss_before": 1.0, "loss_after": 0.9}
    row |= {"exported": 1e-6, "operations": []}
    assert routings.passed(row)
    for change in (
        {"config": False},
        {"reloaded": 1e-3},
        {"loss_after": 1.1},
        {"exported": 1e-3},
        {"operations": ["Loop"]},
        {"loss_after": float("nan")},
    ):
        assert not routings.passed(row | change)


@torch_only
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_training_in_half_precision(generator, policy):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model, heads = routings.build()
    finally:
        keras.config.set_dtype_policy(before)
    images = 2 * generator.uniform(size=(24, 9, 9, 1)).astype("float32")
    labels = np.eye(3, dtype="float32")[np.arange(24) % 3]
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy")
    history = model.fit(
        images, {head: labels for head in heads}, epochs=6, batch_size=24, verbose=0
    ).history
    for head in heads:
        losses = history[f"{head}_loss"]
        assert np.isfinite(losses).all() and losses[-1] < losses[0], head
    for weight in model.weights:
        assert np.isfinite(keras.ops.convert_to_numpy(weight)).all(), weight.path
