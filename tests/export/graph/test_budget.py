"""What the graph of each model of the zoo may cost; more needs a reason, and a change here."""

import collections

import pytest
from conftest import SMALL_OF_TASK, once
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
    "se_signal_net": (42, 4),
    "se_unet": (111, 1),
    "segcaps": (583, 47),  # Four for each of ten routings, and one before each convolution.
    "self_routing_capsnet": (31, 4),
    "signal_capsnet": (144, 8),
    "signal_cnn": (16, 1),
    "unet": (41, 1),
    "variational_capsnet": (497, 15),
}


TASKS = {name: task for task in SMALL_OF_TASK for name in keras_capsules.list_models(task=task)}


def test_every_model_has_a_budget():
    assert set(BUDGETS) == set(keras_capsules.list_models())


@once
@pytest.mark.parametrize("name", sorted(BUDGETS))
def test_a_model_keeps_to_its_budget(name):
    model = keras_capsules.create_model(name, **SMALL_OF_TASK[TASKS[name]])
    file = converted(model)
    found = collections.Counter(node.op_type for node in file.graph.node)
    assert (found.total(), found["Transpose"]) == BUDGETS[name], found
