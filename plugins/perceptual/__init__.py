"""The bundle of losses that look at a picture as a viewer, or the competition, does."""
