"""Photographs in, batches out: folders, preprocessing, cache, split, loader."""
