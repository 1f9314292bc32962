"""What `toolbox doctor` and `toolbox bench` measure."""
