"""The spandrel bundle: restore with the networks that the library spandrel knows, from the user's own files."""
