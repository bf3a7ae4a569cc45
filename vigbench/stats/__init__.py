"""Pure functions on arrays. Nothing here knows what time is."""
