"""Checks files for devices, and writes the formats that devices read."""
