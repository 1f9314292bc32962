"""A bundle with a colouriser that is trained by flow matching."""
