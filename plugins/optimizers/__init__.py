"""The optimizers bundle: optimizers of torch and timm by name, and more schedules of the learning rate."""
