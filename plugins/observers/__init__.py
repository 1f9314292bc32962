"""The observers bundle: what watches a training run."""
