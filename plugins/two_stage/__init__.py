"""The two-stage bundle: restore the gray first, then colour it."""
