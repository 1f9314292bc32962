"""The bundle `data`: commands for photographs and data folders."""
