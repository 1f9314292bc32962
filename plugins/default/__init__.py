"""The default bundle: the published restoration GAN, part by part, and the recipes that train it."""
