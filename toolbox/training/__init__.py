"""Training: the run from its start to its submission, the training step, checkpoints, validation, records."""
