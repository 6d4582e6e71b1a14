"""Tests that pass on uvloop and fail on fluvial.Loop, by name, and why that is right.

One that passes is an error, so that it leaves this table.
"""

from __future__ import annotations

TESTS: dict[str, str] = {}
