"""The name by which packages import Starlette's class of rendered templates."""

from __future__ import annotations

from ..templating import TemplateResponse

_TemplateResponse = TemplateResponse
