"""Whoever takes the next turn."""
