"""Models that read a sequence step by step."""

import functools

import keras
from keras import layers

from tests.export.corpus.registry import model

LAYERS = {
    "lstm": functools.partial(layers.LSTM, 6),
    "gru": functools.partial(layers.GRU, 6),
    "gru_reset_before": functools.partial(layers.GRU, 6, reset_after=False),
    "simple_rnn": functools.partial(layers.SimpleRNN, 6),
}


@model(LAYERS)
def last_output(recurrent):
    return keras.Sequential([keras.Input((7, 5)), recurrent()])


@model(LAYERS)
def backwards(recurrent):
    layer = recurrent(go_backwards=True, return_sequences=True)
    return keras.Sequential([keras.Input((7, 5)), layer])


@model(LAYERS)
def open_length(recurrent):
    layer = recurrent(return_sequences=True)
    return keras.Sequential([keras.Input((None, 5)), layer, layers.Dense(3)])


MASKED = {"integers": (0, 3)}


@model(LAYERS, **MASKED)
def masked_words(recurrent):
    """Word 0 is absent, wherever it stands."""
    words = layers.Embedding(4, 5, mask_zero=True)
    return keras.Sequential([keras.Input((9,), dtype="int32"), words, recurrent()])


@model(LAYERS, **MASKED)
def masked_sequence(recurrent):
    """An absent step repeats the output before it."""
    words = layers.Embedding(4, 5, mask_zero=True)
    layer = recurrent(return_sequences=True)
    return keras.Sequential([keras.Input((9,), dtype="int32"), words, layer])


@model(LAYERS)
def states(recurrent):
    """The first states are inputs, the last ones outputs."""
    x = keras.Input((7, 5), name="x")
    count = 2 if recurrent.func is layers.LSTM else 1
    first = [keras.Input((6,), name=f"state_{number}") for number in range(count)]
    results = recurrent(return_sequences=True, return_state=True)(x, initial_state=first)
    return keras.Model([x, *first], list(results))


@model(LAYERS)
def bidirectional(recurrent):
    layer = layers.Bidirectional(recurrent(return_sequences=True))
    return keras.Sequential([keras.Input((7, 5)), layer])


@model(("sum", "mul", "ave"))
def bidirectional_merged(mode):
    layer = layers.Bidirectional(layers.LSTM(4), merge_mode=mode)
    return keras.Sequential([keras.Input((7, 5)), layer])


@model()
def bidirectional_of_two_kinds():
    backward = layers.GRU(3, go_backwards=True)
    layer = layers.Bidirectional(layers.LSTM(4), backward_layer=backward)
    return keras.Sequential([keras.Input((7, 5)), layer])


@model(**MASKED)
def bidirectional_masked():
    words = layers.Embedding(4, 5, mask_zero=True)
    layer = layers.Bidirectional(layers.GRU(4, return_sequences=True))
    return keras.Sequential([keras.Input((None,), dtype="int32"), words, layer])


@model()
def stacked():
    return keras.Sequential(
        [
            keras.Input((7, 5)),
            layers.LSTM(6, return_sequences=True),
            layers.GRU(5, return_sequences=True),
            layers.SimpleRNN(4),
            layers.Dense(2),
        ]
    )


@model()
def masking():
    """Steps at zero are absent."""
    steps = [layers.ReLU(), layers.Masking(), layers.LSTM(4, return_sequences=True)]
    return keras.Sequential([keras.Input((9, 1)), *steps])


@model(**MASKED)
def zeros_where_masked():
    words = layers.Embedding(4, 5, mask_zero=True)
    layer = layers.LSTM(4, return_sequences=True, zero_output_for_mask=True)
    return keras.Sequential([keras.Input((9,), dtype="int32"), words, layer])


@model()
def encoder_and_decoder():
    """The decoder starts with the states of the encoder."""
    source, target = keras.Input((None, 5), name="source"), keras.Input((None, 4), name="target")
    _, *last = layers.LSTM(6, return_state=True)(source)
    x = layers.LSTM(6, return_sequences=True)(target, initial_state=last)
    return keras.Model([source, target], layers.Dense(3, activation="softmax")(x))


@model()
def many_steps():
    return keras.Sequential([keras.Input((200, 3)), layers.GRU(5)])


OPTIONS = {
    "activations": {"activation": "relu", "recurrent_activation": "hard_sigmoid"},
    "gelu": {"activation": "gelu"},
    "no_bias": {"use_bias": False},
    "dropout": {"dropout": 0.2, "recurrent_dropout": 0.2},
    "unrolled": {"unroll": True},
}


@model(OPTIONS)
def lstm_with(options):
    return keras.Sequential([keras.Input((5, 3)), layers.LSTM(4, **options)])


@model({"1d": (1, layers.ConvLSTM1D), "2d": (2, layers.ConvLSTM2D)})
def conv_lstm(arguments):
    rank, kind = arguments
    layer = kind(3, 3, padding="same", return_sequences=True)
    return keras.Sequential([keras.Input((4, *(6,) * rank, 2)), layer])


@model()
def conv_lstm_bidirectional():
    layer = layers.ConvLSTM2D(2, 2, return_sequences=True)
    return keras.Sequential([keras.Input((3, 4, 4, 1)), layers.Bidirectional(layer)])


@model()
def cells_in_a_stack():
    cells = [layers.LSTMCell(5), layers.GRUCell(4)]
    return keras.Sequential([keras.Input((6, 3)), layers.RNN(cells)])


@keras.saving.register_keras_serializable(package="corpus")
class LeakyCell(keras.layers.Layer):
    """Keeps a share of its state at each step."""

    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = self.state_size = units
        self.project = layers.Dense(units, activation="tanh")

    def build(self, shape):
        self.project.build(shape)

    def call(self, inputs, states, training=False):
        state = 0.7 * states[0] + 0.3 * self.project(inputs)
        return state, [state]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@model()
def custom_cell():
    return keras.Sequential([keras.Input((6, 3)), layers.RNN(LeakyCell(4))])


@model(refused=("UnsupportedOperationError", "Loop", "--allow Loop"))
def custom_cell_of_open_length():
    return keras.Sequential([keras.Input((None, 3)), layers.RNN(LeakyCell(4))])


@model(refused=("ConversionError", "stateful=False"))
def stateful():
    layer = layers.LSTM(4, stateful=True)
    return keras.Sequential([keras.Input(batch_shape=(2, 5, 3)), layer])


DISTRIBUTED = {
    "dense": ((5, 4), lambda: layers.Dense(3)),
    "lstm": ((5, 6, 4), lambda: layers.LSTM(3)),
    "conv": ((4, 6, 6, 2), lambda: layers.Conv2D(3, 3)),
    "open_length": ((None, 6, 2), lambda: layers.Conv1D(3, 2)),
    "open_size": ((4, None, 2), lambda: layers.GlobalMaxPooling1D()),
}


@model(DISTRIBUTED)
def time_distributed(arguments):
    shape, make = arguments
    return keras.Sequential([keras.Input(shape), layers.TimeDistributed(make())])


@model(integers=(0, 2))
def time_distributed_masked():
    """Sentences of words, of which some are absent."""
    words = keras.Input((4, 6), dtype="int32")
    sentences = layers.TimeDistributed(layers.LSTM(3))
    return keras.Model(words, sentences(layers.Embedding(5, 3, mask_zero=True)(words)))
