"""Blind comparison of answers by people, in a browser."""
