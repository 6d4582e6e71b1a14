"""The asyncio event loop on `_core.Loop`. Imports nothing of the framework."""

from .loop import Loop, run_async

__all__ = ["Loop", "run_async"]
