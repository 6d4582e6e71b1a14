"""Whether the tests run under `make asan`: there memory figures say nothing, since the address
sanitizer keeps freed memory for a while.
"""

import os

import pytest

SANITIZED = "asan" in os.environ.get("LD_PRELOAD", "")

measures_memory = pytest.mark.skipif(SANITIZED, reason="the sanitizer keeps freed memory")
