"""The two-stage bundle: one generator restores the gray, a second adds the colours."""
