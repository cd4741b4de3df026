"""Checks what devices need, and writes the formats that they read."""
