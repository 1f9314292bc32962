"""Generators and their weights: building, calling, weight files, published weights."""
