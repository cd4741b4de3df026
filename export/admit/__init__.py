"""Reads what the user passes, and refuses what is damaged or unsafe."""
