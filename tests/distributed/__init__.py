"""Tests on several simulated devices."""
