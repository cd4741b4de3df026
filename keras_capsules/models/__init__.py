"""Provides the models of the zoo, one file for each architecture."""

from keras_capsules.models.capsnet import capsnet
from keras_capsules.models.cnn_baseline import cnn_baseline
from keras_capsules.models.deepcaps import deepcaps
from keras_capsules.models.efficient_capsnet import efficient_capsnet
from keras_capsules.models.foreign import load_foreign, load_foreign_layer
from keras_capsules.models.inverted_capsnet import inverted_capsnet
from keras_capsules.models.matrix_capsnet import matrix_capsnet
from keras_capsules.models.pretrained import card, examples
from keras_capsules.models.registry import create_model, default_loss, list_models
from keras_capsules.models.se_capsnet import se_capsnet
from keras_capsules.models.se_resnet import se_resnet20, se_resnet32, se_resnet50, se_resnet56
from keras_capsules.models.segcaps import segcaps
from keras_capsules.models.self_routing_capsnet import self_routing_capsnet
from keras_capsules.models.signal_capsnet import signal_capsnet
from keras_capsules.models.signal_cnn import se_signal_net, signal_cnn
from keras_capsules.models.unet import se_unet, unet
from keras_capsules.models.variational_capsnet import variational_capsnet

__all__ = [
    "capsnet",
    "card",
    "cnn_baseline",
    "create_model",
    "deepcaps",
    "default_loss",
    "efficient_capsnet",
    "examples",
    "inverted_capsnet",
    "list_models",
    "load_foreign",
    "load_foreign_layer",
    "matrix_capsnet",
    "se_capsnet",
    "se_resnet20",
    "se_resnet32",
    "se_resnet50",
    "se_resnet56",
    "se_signal_net",
    "se_unet",
    "segcaps",
    "self_routing_capsnet",
    "signal_capsnet",
    "signal_cnn",
    "unet",
    "variational_capsnet",
]
