"""Shows what a trained model looks at: arrays first, plots second."""

from keras_capsules.explain.coupling_map import coupling_map, plot_coupling_map
from keras_capsules.explain.coupling_statistics import (
    CouplingStatistics,
    coupling_statistics,
    plot_coupling_statistics,
)
from keras_capsules.explain.decoder_model import decoder_model
from keras_capsules.explain.excitation_profile import (
    ExcitationProfile,
    excitation_profile,
    plot_excitation_profile,
)
from keras_capsules.explain.explained_model import explained_model
from keras_capsules.explain.faithfulness import (
    DeletionInsertion,
    deletion_insertion,
    plot_deletion_insertion,
    random_maps,
)
from keras_capsules.explain.grad_cam import grad_cam, plot_grad_cam
from keras_capsules.explain.part_whole_tree import Part, part_whole_tree, plot_part_whole_tree
from keras_capsules.explain.pose_traversal import plot_pose_traversal, pose_traversal
from keras_capsules.explain.reconstructions import plot_reconstructions
from keras_capsules.explain.trace_back import trace_back

__all__ = [
    "CouplingStatistics",
    "DeletionInsertion",
    "ExcitationProfile",
    "Part",
    "coupling_map",
    "coupling_statistics",
    "decoder_model",
    "deletion_insertion",
    "excitation_profile",
    "explained_model",
    "grad_cam",
    "part_whole_tree",
    "plot_coupling_map",
    "plot_coupling_statistics",
    "plot_deletion_insertion",
    "plot_excitation_profile",
    "plot_grad_cam",
    "plot_part_whole_tree",
    "plot_pose_traversal",
    "plot_reconstructions",
    "pose_traversal",
    "random_maps",
    "trace_back",
]
