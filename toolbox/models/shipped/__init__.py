"""The weights that ship, each with a card: trained on what, by which command, how good."""
