"""Decides whether a file computes the same as its model."""
