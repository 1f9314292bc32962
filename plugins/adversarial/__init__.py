"""The adversarial bundle: more discriminators, adversarial losses and penalties."""
