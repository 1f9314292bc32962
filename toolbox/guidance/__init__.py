"""Colours that come from a person or from a second photograph."""
