"""The bundle of fills that need no training: smooth, frequency, texture, and the choice among them."""
