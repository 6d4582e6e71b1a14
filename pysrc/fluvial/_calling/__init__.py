"""Calling users' functions: their kind, the thread they run in, and their options."""
