"""Marks for tests of what a build may lack; support/skips.py has their reasons."""

from __future__ import annotations

import fluvial._core
import pytest

HTTP2 = pytest.mark.skipif(not fluvial._core.nghttp2_version, reason="this build has no HTTP/2")
ZSTD = pytest.mark.skipif("zstd" not in fluvial._core.CODINGS, reason="this build has no zstd")
