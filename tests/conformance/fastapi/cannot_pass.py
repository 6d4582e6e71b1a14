"""Tests that can't pass, each with the reason."""

from __future__ import annotations

TESTS: dict[str, str] = {}
