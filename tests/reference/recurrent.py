"""Recurrent layers in float64 NumPy, one step of one sequence after the other.

LSTM: Hochreiter and Schmidhuber, 1997, with the forget gate of Gers et al., 2000. GRU: Cho et al.,
2014, and with the reset after the product, as in cuDNN. The weights are Keras': a kernel, a
recurrent kernel and a bias, each with the gates side by side.
"""

import numpy as np


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def lstm_step(x, states, kernel, recurrent_kernel, bias):
    hidden, carry = states
    i, f, c, o = np.split(x @ kernel + hidden @ recurrent_kernel + bias, 4)
    carry = sigmoid(f) * carry + sigmoid(i) * np.tanh(c)
    return [sigmoid(o) * np.tanh(carry), carry]


def gru_step(x, states, kernel, recurrent_kernel, bias):
    (hidden,) = states
    xz, xr, xh = np.split(x @ kernel + bias, 3)
    rz, rr, rh = np.split(recurrent_kernel, 3, axis=1)
    z, r = sigmoid(xz + hidden @ rz), sigmoid(xr + hidden @ rr)
    return [z * hidden + (1 - z) * np.tanh(xh + (r * hidden) @ rh)]


def gru_reset_after_step(x, states, kernel, recurrent_kernel, bias):
    (hidden,) = states
    xz, xr, xh = np.split(x @ kernel + bias[0], 3)
    hz, hr, hh = np.split(hidden @ recurrent_kernel + bias[1], 3)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return [z * hidden + (1 - z) * np.tanh(xh + r * hh)]


def rnn_step(x, states, kernel, recurrent_kernel, bias):
    return [np.tanh(x @ kernel + states[0] @ recurrent_kernel + bias)]


def run(step, x, mask, states, weights, backwards=False, zeros=False):
    """Returns the outputs of all steps, in the order of the computation, and the last states.

    Args:
        step: One of the functions above.
        x: Array `(batch, steps, features)`.
        mask: Array `(batch, steps)`. In an absent step, nothing happens to the states.
        states: Arrays `(batch, units)`.
        weights: The layer's weights.
        backwards: Boolean. Whether the last step comes first.
        zeros: Boolean. Whether the output of an absent step is zeros, not that before it.
    """
    outputs, last = [], []
    for sequence, present, *state in zip(x, mask, *states, strict=True):
        steps = list(zip(sequence, present, strict=True))
        shown = [np.zeros_like(state[0], "float64")]
        for values, is_present in reversed(steps) if backwards else steps:
            if is_present:
                state = step(values.astype("float64"), state, *weights)
            kept = 0 * state[0] if zeros else shown[-1]
            shown.append(state[0] if is_present else kept)
        outputs.append(shown[1:])
        last.append(state)
    return np.array(outputs), [np.array(state) for state in zip(*last, strict=True)]
