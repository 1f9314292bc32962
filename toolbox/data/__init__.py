"""Photographs in, batches out: data folders, preprocessing, the cache of decoded photographs, splits, the loader."""
