"""What the graph of each model of the zoo may cost; more needs a reason, and a change here."""

import collections

import pytest
from conftest import SMALL, once
from converted import converted

import keras_capsules

# Nodes of the small models, and Transposes among them: into the layout of the matrix products and
# out of it, for capsules; none for convolutions, whose one channel makes NHWC and NCHW the same.
BUDGETS = {
    "capsnet": (65, 3),
    "cnn_baseline": (11, 1),
    "deepcaps": (243, 24),  # Poses lie together behind every convolution, and channels before it.
    "efficient_capsnet": (54, 2),
    "inverted_capsnet": (131, 5),
    "matrix_capsnet": (264, 15),  # Two for the batch normalization of the poses, by type.
    "se_capsnet": (78, 2),
    "se_resnet20": (30, 0),
    "se_resnet32": (30, 0),
    "se_resnet50": (36, 0),
    "se_resnet56": (30, 0),
    "self_routing_capsnet": (31, 4),
    "variational_capsnet": (497, 15),
}


def test_every_model_has_a_budget():
    assert set(BUDGETS) == set(keras_capsules.list_models())


@once
@pytest.mark.parametrize("name", sorted(BUDGETS))
def test_a_model_keeps_to_its_budget(name):
    model = keras_capsules.create_model(name, **SMALL)
    file = converted(model)
    found = collections.Counter(node.op_type for node in file.graph.node)
    assert (found.total(), found["Transpose"]) == BUDGETS[name], found
