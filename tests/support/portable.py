"""Whether the tests run on what other systems than Linux get, as `make portable` does."""

from __future__ import annotations

from fluvial import _core

PORTABLE = "/build/portable/" in (_core.__file__ or "")
