"""What a trained model looks at: arrays first, plots second."""

from keras_capsules.explain.coupling_map import coupling_map, plot_coupling_map
from keras_capsules.explain.decoder_model import decoder_model
from keras_capsules.explain.excitation_profile import (
    ExcitationProfile,
    excitation_profile,
    plot_excitation_profile,
)
from keras_capsules.explain.explained_model import explained_model

__all__ = [
    "ExcitationProfile",
    "coupling_map",
    "decoder_model",
    "excitation_profile",
    "explained_model",
    "plot_coupling_map",
    "plot_excitation_profile",
]
