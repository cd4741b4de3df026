"""What a trained model looks at: arrays first, plots second."""

from keras_capsules.explain.excitation_profile import (
    ExcitationProfile,
    excitation_profile,
    plot_excitation_profile,
)

__all__ = ["ExcitationProfile", "excitation_profile", "plot_excitation_profile"]
