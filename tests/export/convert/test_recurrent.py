"""Recurrent layers as ONNX' own operations, against Keras and against NumPy."""

import keras
import numpy as np
import onnxruntime
import pytest
from conftest import evaluate, once
from converted import converted
from custom_layers import OwnCell
from keras import layers
from reference import recurrent as reference

import export
from export import keras_model
from export.graph.content import serialize
from export.reduce.float16 import to_float16
from export.targets.checklist import checklist

STEPS, FEATURES, UNITS = 5, 3, 4
# Nothing absent; steps absent at the end, at the start, in the middle, and all of them.
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 0, 1, 0], [0] * 5], bool)


def inputs_of(generator, batch=5, steps=STEPS):
    x = generator.normal(size=(batch, steps, FEATURES)).astype("float32")
    return x, np.resize(MASK[:, :steps], (batch, steps))


def with_random_weights(model, generator):
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(generator.normal(scale=0.5, size=weight.shape))
    return model


def run(file, model, inputs):
    session = onnxruntime.InferenceSession(serialize(file))
    return session.run(None, dict(zip(keras_model.input_names(model), inputs, strict=True)))


def check(file, model, *inputs):
    """Compares a file with its model."""
    tensors = [keras.ops.convert_to_tensor(array) for array in inputs]
    expected = [keras.ops.convert_to_numpy(value) for value in keras_model.call(model, tensors)]
    for output, value in zip(run(file, model, inputs), expected, strict=True):
        assert output.shape == value.shape
        np.testing.assert_allclose(output, value, atol=1e-6)


def model_of(layer, generator, masked, steps=STEPS):
    x = keras.Input((steps, FEATURES), name="x")
    mask = keras.Input((steps,), dtype="bool", name="mask")
    model = keras.Model([x, mask] if masked else [x], layer(x, mask=mask if masked else None))
    return with_random_weights(model, generator)


def in_both_directions(layer, mode):
    return layers.Bidirectional(layer, merge_mode=mode)


LAYERS = {
    "lstm": lambda: layers.LSTM(UNITS),
    "lstm states": lambda: layers.LSTM(UNITS, return_sequences=True, return_state=True),
    "lstm backwards": lambda: layers.LSTM(UNITS, return_sequences=True, go_backwards=True),
    "lstm no bias": lambda: layers.LSTM(UNITS, use_bias=False, unroll=True),
    "lstm dropout": lambda: layers.LSTM(UNITS, dropout=0.3, recurrent_dropout=0.2),
    "gru": lambda: layers.GRU(UNITS, return_sequences=True),
    "gru before": lambda: layers.GRU(UNITS, reset_after=False, return_state=True),
    "gru no bias": lambda: layers.GRU(UNITS, use_bias=False, go_backwards=True),
    "rnn": lambda: layers.SimpleRNN(UNITS, return_sequences=True, zero_output_for_mask=True),
    "rnn last": lambda: layers.SimpleRNN(UNITS, zero_output_for_mask=True, return_state=True),
    "cell": lambda: layers.RNN(layers.GRUCell(UNITS), return_sequences=True),
    "cells": lambda: layers.RNN(
        [layers.LSTMCell(3), layers.GRUCell(UNITS)], return_sequences=True, go_backwards=True
    ),
    "both concat": lambda: in_both_directions(layers.LSTM(UNITS, return_sequences=True), "concat"),
    "both states": lambda: in_both_directions(layers.LSTM(UNITS, return_state=True), "concat"),
    "both sum": lambda: in_both_directions(layers.GRU(UNITS), "sum"),
    "both ave": lambda: in_both_directions(layers.GRU(UNITS, reset_after=False), "ave"),
    "both mul": lambda: in_both_directions(layers.SimpleRNN(UNITS, return_sequences=True), "mul"),
    "both apart": lambda: in_both_directions(
        layers.GRU(UNITS, return_sequences=True, return_state=True), None
    ),
    "both unlike": lambda: layers.Bidirectional(
        layers.LSTM(UNITS, return_sequences=True),
        backward_layer=layers.GRU(UNITS, return_sequences=True, go_backwards=True),
    ),
}


@once
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_of_any_length_is_operations(name, masked, generator):
    layer = LAYERS[name]()
    steps = STEPS if getattr(layer, "unroll", False) else None
    model = model_of(layer, generator, masked, steps)
    file = converted(model)
    operations = {node.op_type for node in file.graph.node}
    assert operations & {"LSTM", "GRU", "RNN"} and not operations & {"MatMul", "Sigmoid", "Tanh"}
    check(file, model, *inputs_of(generator)[: 1 + masked])
    check(file, model, *inputs_of(generator, batch=2, steps=steps or 4)[: 1 + masked])


CELLS = {
    "lstm": (layers.LSTM, {}, reference.lstm_step),
    "gru": (layers.GRU, {}, reference.gru_reset_after_step),
    "gru before": (layers.GRU, {"reset_after": False}, reference.gru_step),
    "rnn": (layers.SimpleRNN, {}, reference.rnn_step),
}


@once
@pytest.mark.parametrize("zeros", [False, True], ids=["repeat", "zeros"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("name", CELLS)
def test_masks_and_states_as_in_numpy(name, backwards, zeros, generator):
    make, options, step = CELLS[name]
    options = options | {"go_backwards": backwards, "zero_output_for_mask": zeros}
    layer = make(UNITS, return_sequences=True, return_state=True, **options)
    last = make(UNITS, **options)
    x = keras.Input((None, FEATURES), name="x")
    mask = keras.Input((None,), dtype="bool", name="mask")
    states = [keras.Input((UNITS,), name=f"state_{i}") for i in range(len(layer.state_size))]
    outputs = [*layer(x, initial_state=states, mask=mask), last(x, states, mask=mask)]
    model = with_random_weights(keras.Model([x, mask, *states], outputs), generator)
    last.set_weights(layer.get_weights())
    given = [generator.normal(size=(len(MASK), UNITS)).astype("float32") for _ in states]
    sequences, present = inputs_of(generator)
    computed = run(converted(model), model, [sequences, present, *given])
    weights = [weight.astype("float64") for weight in layer.get_weights()]
    expected = reference.run(step, sequences, present, given, weights, backwards, zeros)
    values = [expected[0], *expected[1], expected[0][:, -1]]
    for value, output in zip(values, computed, strict=True):
        np.testing.assert_allclose(output, value, atol=1e-6)


@once
@pytest.mark.parametrize("merged", ["concat", None])
def test_both_directions_take_states_and_masks(merged, generator):
    layer = layers.LSTM(UNITS, return_sequences=True, return_state=True)
    x, mask = keras.Input((None, FEATURES), name="x"), keras.Input((None,), dtype="bool", name="m")
    states = [keras.Input((UNITS,), name=f"state_{i}") for i in range(4)]
    outputs = in_both_directions(layer, merged)(x, initial_state=states, mask=mask)
    model = with_random_weights(keras.Model([x, mask, *states], outputs), generator)
    given = [generator.normal(size=(len(MASK), UNITS)).astype("float32") for _ in states]
    check(converted(model), model, *inputs_of(generator), *given)


@once
@pytest.mark.parametrize("make", [layers.LSTM, layers.GRU, layers.SimpleRNN])
@pytest.mark.parametrize(
    "activation",
    ["elu", "hard_sigmoid", "leaky_relu", "linear", "relu", "sigmoid", "softplus", "softsign"],
)
def test_activations(make, activation, generator):
    gates = {} if make is layers.SimpleRNN else {"recurrent_activation": "hard_sigmoid"}
    layer = in_both_directions(make(UNITS, activation=activation, **gates), "concat")
    model = model_of(layer, generator, masked=False)
    file = converted(model)
    assert len(file.graph.node) == 4
    check(file, model, *inputs_of(generator)[:1])


@once
def test_masks_of_other_layers(generator):
    words = keras.Input((STEPS,), dtype="int32", name="words")
    x = keras.Input((STEPS, FEATURES), name="x")
    embedded = layers.Embedding(6, FEATURES, mask_zero=True)(words)
    embedded = layers.GRU(UNITS, return_sequences=True)(layers.Dropout(0.5)(embedded))
    masked = layers.TimeDistributed(layers.Dense(4))(layers.Masking()(x))
    masked = layers.LSTM(UNITS, return_sequences=True)(masked)
    model = keras.Model([words, x], [layers.LSTM(UNITS)(embedded), layers.GRU(UNITS)(masked)])
    file = converted(with_random_weights(model, generator))
    sequences, present = inputs_of(generator)
    check(file, model, np.arange(25).reshape(5, 5).astype("int32") % 6 * present, sequences)
    check(file, model, 5 * present.astype("int32"), sequences * present[..., None])


UNROLLED = {
    "own cell": lambda: layers.RNN(OwnCell(UNITS), return_sequences=True),
    "own activation": lambda: layers.GRU(UNITS, activation="silu", return_state=True),
    "nested states": lambda: layers.RNN([layers.GRUCell(3), OwnCell(UNITS)], go_backwards=True),
}


@once
@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("name", UNROLLED)
def test_what_onnx_lacks_is_unrolled(name, masked, generator):
    model = model_of(UNROLLED[name](), generator, masked)
    file = converted(model)
    assert not {node.op_type for node in file.graph.node} & {"Loop", "LSTM", "GRU", "RNN"}
    check(file, model, *inputs_of(generator)[: 1 + masked])
    check(file, model, *inputs_of(generator, batch=2)[: 1 + masked])


@once
def test_convolutional_cells_are_unrolled(generator):
    x = keras.Input((3, 6, 2), name="x")
    mask = keras.Input((3,), dtype="bool", name="mask")
    layer = layers.ConvLSTM1D(2, 3, return_sequences=True)
    model = with_random_weights(keras.Model([x, mask], layer(x, mask=mask)), generator)
    sequences = generator.normal(size=(5, 3, 6, 2)).astype("float32")
    check(converted(model), model, sequences, MASK[:, :3])


@once
def test_a_loop_is_refused_with_remedies_that_work(generator):
    def model(steps):
        return model_of(layers.RNN(OwnCell(UNITS), name="own"), generator, True, steps)

    of_any_length = model(None)
    with pytest.raises(export.UnsupportedOperationError, match="layer 'own'") as caught:
        converted(of_any_length)
    assert "keras.Input((steps, features))" in str(caught.value)
    assert "Loop" not in {node.op_type for node in converted(model(STEPS)).graph.node}
    assert "--allow Loop" in str(caught.value) and "allow=['Loop']" in str(caught.value)
    file = converted(of_any_length, allowed=["Loop"])
    assert "own/loop" in [node.name for node in file.graph.node]
    check(file, of_any_length, *inputs_of(generator))
    check(file, of_any_length, *inputs_of(generator, batch=2, steps=3))
    findings = {entry.check: entry for entry in checklist(file, serialize(file), None)}
    assert not findings["operations"].passed
    for provider in ("WebGPU", "XNNPACK", "CoreML", "NNAPI"):
        assert provider in findings["operations"].finding


@once
def test_few_nodes_that_have_the_names_of_layers(generator):
    model = model_of(layers.GRU(64, name="recurrent"), generator, masked=False, steps=200)
    names = [node.name for node in converted(model).graph.node]
    assert names == ["recurrent/transpose", "recurrent/gru", "recurrent/squeeze"]
    model = model_of(layers.GRU(64, name="recurrent"), generator, masked=True, steps=200)
    assert len(converted(model).graph.node) <= 20


@once
def test_float16_stores_the_weights_in_half_and_computes_in_float32(generator):
    x = keras.Input((STEPS, 16), name="x")
    steps = layers.LSTM(16, return_sequences=True)(layers.Masking()(x))
    outputs = layers.Dense(2)(in_both_directions(layers.GRU(16), "concat")(steps))
    model = with_random_weights(keras.Model(x, outputs), generator)
    file = converted(model)
    sequences = generator.normal(size=(len(MASK), STEPS, 16)).astype("float32") * MASK[..., None]
    reduced = to_float16(file, [{"x": sequences}], {})
    assert len(serialize(reduced)) < 0.7 * len(serialize(file))
    half, whole = (run(one, model, [sequences])[0] for one in (reduced, file))
    np.testing.assert_allclose(half, whole, atol=0.02)


@pytest.mark.usefixtures("warm_conversions")
def test_a_model_of_each_backend_is_its_file(tmp_path, generator):
    x = keras.Input((STEPS, FEATURES), name="x")
    masked = layers.Masking()(x)
    both = in_both_directions(layers.LSTM(UNITS, return_sequences=True), "concat")
    ends = layers.GRU(UNITS)(masked), layers.SimpleRNN(UNITS, go_backwards=True)(masked)
    model = keras.Model(x, [both(masked), *ends])
    sequences, present = inputs_of(generator)
    sequences *= present[..., None]
    with_random_weights(model, generator)
    report = export.export_onnx(model, tmp_path / "model.onnx", data={"x": sequences})
    assert report.passed and all(
        entry.max_abs is not None and entry.max_abs <= 1e-6
        for entry in report.layers
        if entry.layer in {layer.name for layer in model.layers[2:]}
    )
    outputs = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"x": sequences})
    for output, expected in zip(outputs, evaluate(model, sequences), strict=True):
        np.testing.assert_allclose(output, expected, atol=1e-6)
