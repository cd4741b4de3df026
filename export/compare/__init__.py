"""Decides whether a file computes the same as the model."""
