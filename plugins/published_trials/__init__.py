"""The published-trials bundle: variants that the published work tried and dropped, to test its claims again."""
