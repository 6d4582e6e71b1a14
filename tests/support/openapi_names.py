"""The names of both frameworks that the program of openapi_programs.py uses."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

NAMES = {
    "": (
        "APIRouter",
        "Body",
        "Cookie",
        "Depends",
        "Header",
        "Path",
        "Query",
        "Response",
        *("File", "Form", "Security", "UploadFile"),
    ),
    ".responses": ("HTMLResponse", "PlainTextResponse", "RedirectResponse"),
    ".security": ("APIKeyHeader", "HTTPBasic", "OAuth2PasswordBearer", "SecurityScopes"),
}


def names_of(framework: str) -> SimpleNamespace:
    """Those of "fluvial" or "fastapi"; `App` is the class of its apps."""
    found = {
        name: getattr(importlib.import_module(framework + module), name)
        for module, names in NAMES.items()
        for name in names
    }
    package = importlib.import_module(framework)
    return SimpleNamespace(App=package.App if framework == "fluvial" else package.FastAPI, **found)
