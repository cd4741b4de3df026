"""Provides parts that several models of the zoo share."""
