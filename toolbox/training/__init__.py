"""The training run: state, step, validation, checkpoints, logs."""
