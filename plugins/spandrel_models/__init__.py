"""The spandrel bundle: networks that the library spandrel supports, from the user's own weight files."""
