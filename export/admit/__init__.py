"""Reads models, data and options, and refuses damaged or unsafe ones."""
