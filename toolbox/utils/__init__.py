"""Helpers that know nothing of restoring or training: files, paths, versions, memory, devices."""
