"""What `toolbox doctor` checks and `toolbox bench` measures."""
