"""A shop, in FastAPI's grammar: it runs unchanged on FastAPI and on Fluvial."""
