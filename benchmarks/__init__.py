"""Benchmarks of toolbox: `python -m benchmarks NAME`."""
