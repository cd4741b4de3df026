"""Trains the shipped weights again, with one recipe for each model and dataset."""
