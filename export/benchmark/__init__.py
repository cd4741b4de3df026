"""Compares files on this machine: bytes, start, time, memory and answers."""
