"""Decides whether a file computes the same as the model. `export.compare(...)` compares any file."""
