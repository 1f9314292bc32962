"""Reports of runs and of restored albums: one HTML file each, with all pictures in it, made without torch."""
