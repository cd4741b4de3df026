"""Defines the votes that routings work on: one class `Votes`, and three ways to keep them."""

from keras_capsules.routing.votes.base import Votes
from keras_capsules.routing.votes.lean import LeanVotes
from keras_capsules.routing.votes.stored import StoredVotes
from keras_capsules.routing.votes.training import TrainingVotes

__all__ = ["LeanVotes", "StoredVotes", "TrainingVotes", "Votes"]
