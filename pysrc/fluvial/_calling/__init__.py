"""Calling users' functions: what kind they are, in which thread they run, their options."""
