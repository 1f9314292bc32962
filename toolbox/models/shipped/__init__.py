"""The weights that ship, each with a card: training data, command, figures."""
