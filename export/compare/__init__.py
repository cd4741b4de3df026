"""Decides whether a file computes the same as the model; `export.compare(...)` is for any file."""
