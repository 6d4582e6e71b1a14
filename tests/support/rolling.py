"""A supervisor of workers that are replaced, without a process of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fluvial import Config
from fluvial._serving.certificates import Certificates
from fluvial._serving.rolling import Rolling

if TYPE_CHECKING:
    from fluvial._serving.supervisor import Work


def make_rolling(work: Work, **options: Any) -> Rolling:
    """One without TLS, a service manager and a predecessor; SIGHUP would change nothing."""
    config = Config(**options)
    certificates = Certificates(config)
    same = (config, work, certificates)
    return Rolling(config, work, lambda _: same, None, None, certificates)
