"""Fluvial: a web framework and ASGI server whose core is C on libuv and llhttp."""

__version__ = "0.1.0"
