"""The bundle of the restorer that keeps the luma: it colours what is known and fills in what is lost."""
