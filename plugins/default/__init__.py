"""The default bundle: every component of the published restoration GAN, and the recipes that train it."""
