"""Functions of fastapi.utils that programs use."""

from __future__ import annotations

import re
from typing import Any

from .._messages.framing import WITHOUT_CONTENT


def generate_unique_id(route: Any) -> str:
    """FastAPI's default operation id: from the route's name, path and first method."""
    text = re.sub(r"\W", "_", f"{route.name}{route.path}")
    return f"{text}_{next(iter(sorted(route.methods))).lower()}"


def is_body_allowed_for_status_code(status_code: int | str | None) -> bool:
    """Whether a response with this status may have content (RFC 9110 sections 15.2 to 15.4)."""
    if status_code is None or not str(status_code).isdigit():
        return True
    number = int(status_code)
    return number >= 200 and number not in WITHOUT_CONTENT
