"""Fluvial beside servers of several languages, on HttpArena's profiles."""
