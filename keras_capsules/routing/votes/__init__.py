"""Defines the base class `Votes`, on which routings work, and four ways to keep votes."""

from keras_capsules.routing.votes.base import Votes
from keras_capsules.routing.votes.chunked import ChunkedVotes
from keras_capsules.routing.votes.lean import LeanVotes
from keras_capsules.routing.votes.stored import StoredVotes
from keras_capsules.routing.votes.training import TrainingVotes

__all__ = ["ChunkedVotes", "LeanVotes", "StoredVotes", "TrainingVotes", "Votes"]
