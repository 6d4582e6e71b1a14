"""The pages' scripts and styles, which come with Fluvial: `scripts/docs_assets.py` puts them here.

They are served below PREFIX. A folder has the name and version of the npm package that its files
are from, so that browsers may cache them without limit.
"""

from __future__ import annotations

from pathlib import Path

from ..exceptions import HTTPException
from ..responses import FileResponse

PREFIX = "/-/docs"
FOLDER = Path(__file__).with_name("assets")
MISSING = (
    "this build of Fluvial has no files for it, since npm was not there, or not the network, when "
    "it was built. Build again, or name other files in the page's function of fluvial.openapi.docs"
)


def asset(package: str, name: str) -> Path | None:
    """The file `name` of an npm package; None when Fluvial was built without it."""
    found = sorted(FOLDER.glob(f"{package}@*/{name}"))
    return found[-1] if found else None


def asset_url(package: str, name: str) -> str:
    """The path below which the file is served, without the app's root path."""
    path = asset(package, name)
    return f"{PREFIX}/{package if path is None else path.parent.name}/{name}"


def asset_response(package: str, name: str) -> FileResponse:
    """The file for the browser. Raises: HTTPException 404 when there is none of that name."""
    folder = FOLDER / package
    # Names are compared with those that exist, so that none leads out of the folder.
    if package not in _names(FOLDER) or name not in _names(folder):
        raise HTTPException(404)
    kept = {"cache-control": "public, max-age=31536000, immutable"}
    return FileResponse(folder / name, headers=kept)


def _names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()} if folder.is_dir() else set()
