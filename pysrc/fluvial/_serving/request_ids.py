"""Which header field may have the ids of requests; request_id.c gives them."""

from __future__ import annotations

from .._messages.framing import FRAMING_FIELDS
from .._messages.header_fields import TEXT_TOKEN

# Fields that say how a message is to be read: a second one would contradict the first.
_TAKEN = FRAMING_FIELDS | {"content-type", "date", "host", "location", "server", "set-cookie"}


def check_id_header(name: str) -> None:
    """Raises: ValueError when `name`, if there is any, can't be the name of such a field."""
    if not name:
        return
    if not TEXT_TOKEN.fullmatch(name) or "_" in name or len(name) > 64:
        raise ValueError(
            "request_id_header must be the name of a header field such as X-Request-ID, with '-' "
            f"and not '_', not {name!r}"
        )
    if name.lower() in _TAKEN:
        raise ValueError(f"request_id_header can't be {name!r}, which has a meaning of its own")
