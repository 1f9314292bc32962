"""The page of `toolbox serve`: an album of photographs, the work on them, and a small web server on this machine."""
