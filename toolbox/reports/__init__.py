"""Records of runs, and reports of runs and albums: one HTML file each, with all pictures in it, made without torch."""
