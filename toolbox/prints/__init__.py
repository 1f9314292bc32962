"""Correct prints: contrast, casts, uneven light, and the sheet of a print on a table. Each changes known pixels."""
