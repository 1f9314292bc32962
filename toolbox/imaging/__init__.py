"""Image files and colours: decoding, encoding, ICC profiles, luma and chroma."""
