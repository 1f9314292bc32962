"""Damage of prints: simulated, found, and the network that finds it."""
