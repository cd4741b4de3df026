"""Provides metrics of capsules and of their coupling."""

from keras_capsules.metrics.coupling import CouplingEntropy, CouplingVariance
from keras_capsules.metrics.dead_capsule_rate import DeadCapsuleRate
from keras_capsules.metrics.top_k_set_accuracy import TopKSetAccuracy

__all__ = ["CouplingEntropy", "CouplingVariance", "DeadCapsuleRate", "TopKSetAccuracy"]
