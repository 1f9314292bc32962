"""The perceptual bundle: losses that follow what a viewer, or the competition's score, looks at."""
