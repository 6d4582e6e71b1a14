"""ASGI from both sides: other apps on Fluvial's server, and a Fluvial app on another server."""
