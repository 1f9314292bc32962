"""Limits that the command line, the page and the library share; this module imports nothing."""

from __future__ import annotations

# Photographs with more pixels are refused, unless the user raises the limit.
MAX_PIXELS = 50_000_000
# Factor of the predicted colours: 0 is gray.
MAX_SATURATION = 2
# Side in pixels of the tiles of a large photograph.
MIN_TILE = 64
# Number of plausible colourings of one photograph.
MIN_VARIANTS, MAX_VARIANTS = 2, 8
# By how many pixels the lost region can be widened.
MAX_GROW = 200
