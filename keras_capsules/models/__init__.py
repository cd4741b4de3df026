"""The zoo: one file for each architecture, and the registry of their names."""

from keras_capsules.models.capsnet import capsnet
from keras_capsules.models.cnn_baseline import cnn_baseline
from keras_capsules.models.efficient_capsnet import efficient_capsnet
from keras_capsules.models.pretrained import card, examples
from keras_capsules.models.registry import create_model, list_models
from keras_capsules.models.se_capsnet import se_capsnet
from keras_capsules.models.se_resnet import se_resnet20, se_resnet32, se_resnet50, se_resnet56

__all__ = [
    "capsnet",
    "card",
    "cnn_baseline",
    "create_model",
    "efficient_capsnet",
    "examples",
    "list_models",
    "se_capsnet",
    "se_resnet20",
    "se_resnet32",
    "se_resnet50",
    "se_resnet56",
]
