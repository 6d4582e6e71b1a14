"""FastAPI's and Starlette's modules as Fluvial's: the map, and the hook that applies it."""
