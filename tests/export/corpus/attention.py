"""Models whose positions look at one another."""

import keras
from keras import layers, ops

from keras_capsules import attention
from tests.export.corpus.registry import model


def self_attention(x, **call):
    return layers.MultiHeadAttention(2, 4)(x, x, **call)


@model()
def multi_head():
    x = keras.Input((6, 8))
    return keras.Model(x, self_attention(x))


@model()
def multi_head_causal():
    x = keras.Input((6, 8))
    return keras.Model(x, self_attention(x, use_causal_mask=True))


@model()
def multi_head_scores():
    x = keras.Input((6, 8))
    return keras.Model(x, list(self_attention(x, return_attention_scores=True)))


@model()
def multi_head_with_mask():
    """The caller says who sees whom."""
    x, mask = keras.Input((6, 8), name="x"), keras.Input((6, 6), dtype="bool", name="mask")
    return keras.Model([x, mask], self_attention(x, attention_mask=mask))


@model()
def multi_head_across():
    """Queries, keys and values have other lengths and widths."""
    query, value = keras.Input((4, 8), name="query"), keras.Input((6, 5), name="value")
    layer = layers.MultiHeadAttention(2, 4, value_dim=3, output_shape=7, use_bias=False)
    return keras.Model([query, value], layer(query, value))


@model()
def multi_head_over_two_axes():
    x = keras.Input((3, 4, 8))
    return keras.Model(x, layers.MultiHeadAttention(2, 4, attention_axes=(1, 2))(x, x))


@model(integers=(0, 4))
def multi_head_masked_words():
    words = keras.Input((9,), dtype="int32")
    return keras.Model(words, self_attention(layers.Embedding(5, 8, mask_zero=True)(words)))


@model()
def multi_head_open_length():
    x = keras.Input((None, 8))
    return keras.Model(x, self_attention(x))


@model()
def group_query():
    x = keras.Input((6, 8))
    return keras.Model(x, layers.GroupQueryAttention(4, 4, 2)(x, x))


@model()
def group_query_with_masks():
    x, mask = keras.Input((6, 8), name="x"), keras.Input((6, 6), dtype="bool", name="mask")
    layer = layers.GroupQueryAttention(4, 4, 2)
    return keras.Model([x, mask], layer(x, x, attention_mask=mask, use_causal_mask=True))


DOT_PRODUCTS = {
    "dot": (layers.Attention, {}),
    "scaled": (layers.Attention, {"use_scale": True}),
    "concat": (layers.Attention, {"score_mode": "concat"}),
    "additive": (layers.AdditiveAttention, {}),
}


@model(DOT_PRODUCTS)
def query_value_key(arguments):
    kind, options = arguments
    inputs = [keras.Input((size, 4), name=f"x{size}") for size in (3, 5)]
    return keras.Model(inputs, kind(**options)(inputs))


@model(integers=(0, 4))
def attention_of_masked_words():
    words = keras.Input((9,), dtype="int32")
    x = layers.Embedding(5, 4, mask_zero=True)(words)
    return keras.Model(words, layers.Attention()([x, x], use_causal_mask=True))


def transformer_block(x, activation="gelu", causal=False):
    y = layers.LayerNormalization()(x)
    x = x + layers.Dropout(0.1)(self_attention(y, use_causal_mask=causal))
    y = layers.Dense(16, activation=activation)(layers.LayerNormalization()(x))
    return x + layers.Dense(x.shape[-1])(y)


@model(("relu", "gelu", "silu"))
def transformer(activation):
    x = keras.Input((6, 8))
    y = transformer_block(transformer_block(x, activation), activation)
    return keras.Model(x, layers.GlobalAveragePooling1D()(y))


@keras.saving.register_keras_serializable(package="corpus")
class Positions(layers.Layer):
    """Adds a learned vector for each position, up to the open length."""

    def build(self, shape):
        self.table = self.add_weight((32, shape[-1]), name="table")

    def call(self, x):
        return x + self.table[: ops.shape(x)[1]]


@model()
def language_model():
    """A decoder that takes sentences of any length."""
    words = keras.Input((None,), dtype="int32")
    embedding = layers.ReversibleEmbedding(10, 8)
    x = transformer_block(Positions()(embedding(words)), causal=True)
    return keras.Model(words, ops.softmax(embedding(x, reverse=True)))


@model()
def vision_transformer():
    image = keras.Input((16, 16, 3))
    patches = layers.Reshape((16, 8))(layers.Conv2D(8, 4, strides=4)(image))
    x = transformer_block(Positions()(patches))
    return keras.Model(image, layers.Dense(3)(x[:, 0]))


@model()
def einsum_dense():
    layer = layers.EinsumDense("abc,cde->abde", (None, 3, 4), bias_axes="de")
    return keras.Sequential([keras.Input((6, 5)), layer])


@model(attention.ATTENTIONS)
def of_channels(kind):
    x = keras.Input((8, 6, 16))
    return keras.Model(x, kind()(x))
