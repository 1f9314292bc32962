"""Other discriminators, adversarial losses and penalties for the game between restored and true pictures."""
