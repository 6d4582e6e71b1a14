"""Measures Fluvial beside FastAPI, Litestar and BlackSheep: what programs do, in one run.

As bench/http.py does it: the server on one core, the load on another, in turns, round by round.
The figure is requests per second of the server's CPU time, user and system, of all its threads and
processes: it minds other work on the machine least. Before a server is measured its responses are
compared with what they must be.

    python bench/frameworks.py                        everything, about fifteen minutes
    python bench/frameworks.py --only model,real --rounds 3
"""

from __future__ import annotations

import sys
from pathlib import Path

# The folder of this file must not be searched: it would hide the standard library's http.
ROOT = Path(__file__).resolve().parent.parent
sys.path[:1] = [str(ROOT), str(ROOT / "scripts")]

from bench.harness.framework_cases import (  # noqa: E402
    FRAMEWORK_SERVERS,
    FRAMEWORK_TARGETS,
    framework_cases,
)
from bench.harness.run import Suite  # noqa: E402


def main() -> int:
    suite = Suite(
        about=__doc__ or "",
        cases=framework_cases,
        targets=FRAMEWORK_TARGETS,
        servers=FRAMEWORK_SERVERS,
    )
    return suite.run()


if __name__ == "__main__":
    sys.exit(main())
