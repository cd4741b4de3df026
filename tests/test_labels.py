"""Labels as Keras users have them, against NumPy: numbers of classes, one-hot and multi-hot."""

import keras
import numpy as np
import pytest
from conftest import to_numpy

from keras_capsules import MarginLoss, SpreadLoss, TopKSetAccuracy

CLASSES, SAMPLES, BATCH = 4, 24, 8
NUMBERS = np.arange(SAMPLES) * 7 % CLASSES
IMAGES = np.random.default_rng(1).normal(size=(SAMPLES, 3)).astype("float32")
INTEGERS = ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"]
WEIGHTS = np.linspace(0.2, 2, SAMPLES).astype("float32")
CLASS_WEIGHT = {0: 0.5, 1: 1.0, 2: 3.0, 3: 0.1}
LOSSES = {MarginLoss: "margin", SpreadLoss: "spread"}
FORMS = {
    "numbers": NUMBERS,
    "column": NUMBERS[:, None],
    "one-hot": np.eye(CLASSES)[NUMBERS],
    "integer one-hot": np.eye(CLASSES, dtype="int64")[NUMBERS],
}


def in_numpy(name, one_hot, scores):
    """Returns the loss of each sample in float64."""
    if name == "margin":
        present = one_hot * np.maximum(0.9 - scores, 0) ** 2
        absent = 0.5 * (1 - one_hot) * np.maximum(scores - 0.1, 0) ** 2
        return (present + absent).sum(-1)
    right = (one_hot * scores).sum(-1, keepdims=True)
    return ((1 - one_hot) * np.maximum(0.2 - (right - scores), 0) ** 2).sum(-1)


def model_for(loss, **options):
    """Returns a model that does not move in training, and its scores."""
    scores = keras.layers.Dense(CLASSES, activation="sigmoid", name="scores")
    model = keras.Sequential([keras.Input((3,)), scores])
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=["accuracy"], **options)
    kernel, bias = (weight.astype("float64") for weight in scores.get_weights())
    return model, 1 / (1 + np.exp(-(IMAGES @ kernel + bias)))


class Batches(keras.utils.PyDataset):
    def __init__(self, *arrays):
        super().__init__()
        self.arrays = arrays

    def __len__(self):
        return SAMPLES // BATCH

    def __getitem__(self, index):
        return tuple(array[index * BATCH : (index + 1) * BATCH] for array in self.arrays)


def tf_data(*arrays):
    tensorflow = pytest.importorskip("tensorflow")
    return tensorflow.data.Dataset.from_tensor_slices(arrays).batch(BATCH)


def data_loader(*arrays):
    torch = pytest.importorskip("torch")
    return torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(*map(torch.tensor, arrays)), batch_size=BATCH
    )


FIT = ("x", "y", "sample_weight")
SOURCES = [None, tf_data, Batches, data_loader]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("source", SOURCES)
def test_every_form_from_every_source(loss, form, source):
    model, scores = model_for(loss())
    arrays = [IMAGES, FORMS[form], WEIGHTS]
    options = {"x": source(*arrays)} if source else dict(zip(FIT, arrays, strict=True))
    found = model.fit(**options, verbose=0, shuffle=False).history
    expected = in_numpy(LOSSES[loss], np.eye(CLASSES)[NUMBERS], scores)
    np.testing.assert_allclose(found["loss"][0], (expected * WEIGHTS).mean(), rtol=1e-5)
    right = np.mean(scores.argmax(axis=1) == NUMBERS)
    np.testing.assert_allclose(found["accuracy"][0], right, rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("form", ["numbers", "column", "one-hot"])
@pytest.mark.parametrize("source", [None, tf_data, Batches])  # Keras refuses it for a DataLoader.
def test_class_weight(loss, form, source):
    model, scores = model_for(loss())
    x, y = (source(IMAGES, FORMS[form]), None) if source else (IMAGES, FORMS[form])
    found = model.fit(x, y, class_weight=CLASS_WEIGHT, verbose=0, shuffle=False).history["loss"]
    expected = in_numpy(LOSSES[loss], np.eye(CLASSES)[NUMBERS], scores)
    weights = np.array([CLASS_WEIGHT[number] for number in NUMBERS])
    np.testing.assert_allclose(found[0], (expected * weights).mean(), rtol=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [*INTEGERS, "float32", "float64"])
def test_any_dtype_of_numbers(loss, dtype):
    scores = np.random.default_rng(2).uniform(size=(SAMPLES, CLASSES)).astype("float32")
    expected = in_numpy(LOSSES[loss], np.eye(CLASSES)[NUMBERS], scores).mean()
    value = to_numpy(loss()(NUMBERS.astype(dtype), scores))
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    metric = TopKSetAccuracy(k=1)
    metric.update_state(NUMBERS.astype(dtype), scores)
    right = np.mean(scores.argmax(axis=1) == NUMBERS)
    np.testing.assert_allclose(to_numpy(metric.result()), right, rtol=1e-6)


def test_integers_of_the_scores_shape_are_multi_hot():
    labels = np.array([[1, 1, 0], [0, 0, 0]])
    scores = np.array([[0.8, 0.3, 0.4], [0.5, 0.05, 0.2]])
    expected = in_numpy("margin", labels, scores).mean()
    np.testing.assert_allclose(to_numpy(MarginLoss()(labels, scores)), expected, rtol=1e-5)


def test_numbers_at_each_position():
    numbers = np.array([[0, 2], [1, 1]])
    scores = np.random.default_rng(3).uniform(size=(2, 2, 3)).astype("float32")
    expected = in_numpy("margin", np.eye(3)[numbers], scores).mean()
    np.testing.assert_allclose(to_numpy(MarginLoss()(numbers, scores)), expected, rtol=1e-5)


@pytest.mark.parametrize("labels", [[1, 0, 1], [[1], [0], [1]], [[1.0], [0.0], [1.0]]])
def test_labels_of_a_single_column_are_presence(labels):
    scores = np.array([[0.8], [0.7], [0.2]])
    presence = np.reshape(labels, (3, 1))
    expected = in_numpy("margin", presence, scores).mean()
    np.testing.assert_allclose(to_numpy(MarginLoss()(labels, scores)), expected, rtol=1e-5)


@pytest.mark.parametrize("wrong", [-1, 2, np.nan])
def test_a_single_column_has_no_other_labels(wrong):
    with pytest.raises(ValueError, match=f"a single column.*the label {wrong}"):
        MarginLoss()(np.array([1, wrong, 0]), np.full((3, 1), 0.5))
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, activation="sigmoid")])
    model.compile("sgd", MarginLoss())
    if keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match="a single column"):
            model.fit(IMAGES[:2], np.array([1.0, wrong]), verbose=0)
    else:
        assert np.isnan(model.fit(IMAGES[:2], np.array([1.0, wrong]), verbose=0).history["loss"][0])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="only there are shapes open")
def test_one_hot_labels_whose_width_is_open(loss):
    import tensorflow as tf

    signature = (tf.TensorSpec((None, 3)), tf.TensorSpec((None, None)))

    def batches(width):
        labels = np.eye(CLASSES, dtype="float32")[NUMBERS][:, :width]
        yield from ((IMAGES[start : start + 8], labels[start : start + 8]) for start in (0, 8, 16))

    model, scores = model_for(loss())
    data = tf.data.Dataset.from_generator(lambda: batches(CLASSES), output_signature=signature)
    expected = in_numpy(LOSSES[loss], np.eye(CLASSES)[NUMBERS], scores).mean()
    np.testing.assert_allclose(model.evaluate(data, verbose=0)[0], expected, rtol=1e-5)
    data = tf.data.Dataset.from_generator(lambda: batches(1), output_signature=signature)
    with pytest.raises(tf.errors.InvalidArgumentError, match="reshape"):
        model.evaluate(data, verbose=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("wrong", [-1, CLASSES, 255, 1.5, np.nan])
@pytest.mark.parametrize("column", [False, True])
def test_a_label_that_is_no_class_is_an_error_with_its_value(loss, wrong, column):
    labels = np.array([0, wrong, 1])
    labels = labels[:, None] if column else labels
    scores = np.full((3, CLASSES), 0.5, "float32")
    message = f"{loss.__name__} found 1 of 3 labels.*4 classes, 0 to 3.*the label {wrong}"
    with pytest.raises(ValueError, match=message):
        loss()(labels, scores)
    with pytest.raises(ValueError, match=f"TopKSetAccuracy found 1 of 3.*the label {wrong}"):
        TopKSetAccuracy(k=1).update_state(labels, scores)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("wrong", [-1, CLASSES])
@pytest.mark.parametrize("run_eagerly", [False, True])
def test_training_never_takes_such_a_label_for_no_class(loss, wrong, run_eagerly):
    model, _ = model_for(loss(), run_eagerly=run_eagerly)
    model.optimizer.learning_rate = 0.1
    labels = NUMBERS.copy()
    labels[3] = wrong
    if run_eagerly or keras.backend.backend() == "torch":
        with pytest.raises(ValueError, match=f"Received: the label {wrong}"):
            model.fit(IMAGES, labels, verbose=0)
        return
    assert np.isnan(model.fit(IMAGES, labels, verbose=0).history["loss"][0])
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("shape", [(3, 2), (3, 5), (3, 1, 1), ()])
def test_other_shapes_are_refused(loss, shape):
    with pytest.raises(ValueError, match=r"\(batch,\) or \(batch, 1\).*Received: y_true.shape="):
        loss()(np.zeros(shape), np.ones((3, CLASSES)))
    with pytest.raises(ValueError, match="num_classes"):
        loss()(np.array([0.0, 1.0]), np.array([0.2, 0.4]))


def test_half_precision_does_not_mix_up_classes():
    scores = np.random.default_rng(4).uniform(size=(2, 300))
    with pytest.raises(ValueError, match="300 classes in bfloat16.*dtype='float32'"):
        MarginLoss(dtype="bfloat16")(np.array([257, 1]), scores)
    value = to_numpy(MarginLoss(dtype="float16")(np.array([257, 1]), scores))
    expected = in_numpy("margin", np.eye(300)[[257, 1]], scores).mean()
    np.testing.assert_allclose(value, expected, rtol=1e-2)
