"""Runs the converter, and computes the reference outputs, in another process."""
