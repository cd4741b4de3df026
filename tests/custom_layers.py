"""Layers of a user's own, in a module that the conversion's process can import."""

import os

import keras


@keras.saving.register_keras_serializable(package="tests")
class ShiftedInConversion(keras.layers.Layer):
    """Adds CONVERSION_SHIFT in the conversion, which alone runs without hash randomization."""

    def call(self, inputs):
        converting = os.environ.get("PYTHONHASHSEED") == "0"
        return inputs + (float(os.environ.get("CONVERSION_SHIFT", 0)) if converting else 0.0)


@keras.saving.register_keras_serializable(package="tests")
class DyingInConversion(keras.layers.Layer):
    """Ends the conversion's process at once, with a last word, where CONVERSION_DIES is set."""

    def call(self, inputs):
        if os.environ.get("PYTHONHASHSEED") == "0" and "CONVERSION_DIES" in os.environ:
            os.write(2, f"It dies {os.environ['CONVERSION_DIES']}.\n".encode())
            os._exit(9)
        return inputs + 0.0


@keras.saving.register_keras_serializable(package="tests")
class Looping(keras.layers.Layer):
    """A loop whose length the graph decides."""

    def call(self, inputs):
        return keras.ops.while_loop(
            lambda x: keras.ops.sum(x) < 100.0, lambda x: (keras.ops.square(x) + 1.0,), (inputs,)
        )[0]


@keras.saving.register_keras_serializable(package="tests")
class OnlyFloat32(keras.layers.Layer):
    """Mixes its inputs with a constant of float32, whatever its dtype policy says."""

    def call(self, inputs):
        return inputs * keras.ops.convert_to_tensor([2.0], "float32")


@keras.saving.register_keras_serializable(package="tests")
class OnlyEager(keras.layers.Layer):
    """Triples its inputs as an array, which a graph does not have."""

    def compute_output_spec(self, inputs):
        return keras.KerasTensor(inputs.shape, self.compute_dtype)

    def call(self, inputs):
        return keras.ops.convert_to_tensor(3 * inputs.numpy())


@keras.saving.register_keras_serializable(package="tests")
class TrainingInConversion(keras.layers.BatchNormalization):
    """Stays in training mode in the conversion, as `ShiftedInConversion` tells it."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=os.environ.get("PYTHONHASHSEED") == "0", mask=mask)


@keras.saving.register_keras_serializable(package="tests")
class SavesLess(keras.layers.Layer):
    """Holds a factor of which neither its config nor its weights tell."""

    factor = 1.0

    def call(self, inputs):
        return inputs * self.factor


@keras.saving.register_keras_serializable(package="tests")
class VariableOfAValue(keras.layers.Layer):
    """Makes a variable of a value, without an initializer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.factors = keras.Variable([1.0, 2.0, 3.0])

    def call(self, inputs):
        return inputs * self.factors


@keras.saving.register_keras_serializable(package="tests")
class OwnCell(keras.layers.SimpleRNNCell):
    """A cell that ONNX has no operation for: the cosine of what Keras' cell computes."""

    def call(self, inputs, states, training=False):
        output = keras.ops.cos(super().call(inputs, states, training=training)[0])
        return output, [output]
