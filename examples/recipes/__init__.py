"""How the shipped weights were trained: one file for each model and dataset."""
