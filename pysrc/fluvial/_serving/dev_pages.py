"""What the development server shows in a browser: the app's routes, and what was raised."""

from __future__ import annotations

import html
import linecache
import traceback
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from ..responses import HTMLResponse, PlainTextResponse, Response
from .blocked import is_users
from .show import rows_of

if TYPE_CHECKING:
    from ..applications import App
    from ..requests import Request

_AROUND = 3  # lines of source before and after the one that raised
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .75rem }
tr:nth-child(even) { background: #8881 } code, pre { font: 14px/1.5 ui-monospace, monospace }
pre { background: #8881; padding: .75rem; overflow-x: auto } mark { display: block }
"""


def _page(title: str, body: Iterable[str]) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{''.join(body)}</body>\n</html>\n"
    )


def routes_page(app: App, root_path: str) -> str:
    """The list of the app's routes, with links to its documentation, as HTML."""

    def body() -> Iterator[str]:
        yield f"<h1>{html.escape(app.title)}</h1>\n<p>"
        for name, url in (
            ("Swagger UI", app.docs_url),
            ("ReDoc", app.redoc_url),
            ("Scalar", app.scalar_url),
            ("OpenAPI", app.openapi_url),
        ):
            if url and app.openapi_url:
                yield f'<a href="{html.escape(root_path + url)}">{name}</a> \n'
        yield "</p>\n<table>\n<tr><th>Methods<th>Path<th>Name<th>Runs in</tr>\n"
        for row in rows_of(app):
            yield f"<tr>{''.join(f'<td><code>{html.escape(cell)}</code>' for cell in row)}</tr>\n"
        yield "</table>\n<p>The app has no route for <code>/</code>: in production this is a 404.\n"

    return _page(app.title, body())


def respond_to_error(request: Request, exc: Exception) -> Response:
    """Responds with the traceback of an exception: HTML for browsers, text for other clients."""
    if "text/html" not in request.headers.get("accept", ""):
        return PlainTextResponse("".join(traceback.format_exception(exc)), 500)
    return HTMLResponse(error_page(f"{request.method} {request.url.path}", exc), 500)


def error_page(what: str, exc: BaseException) -> str:
    """A traceback as HTML: the user's own frames first, innermost first; then all of it."""
    name = type(exc).__name__

    def body() -> Iterator[str]:
        yield f"<h1>{html.escape(name)}</h1>\n<p>{html.escape(what)}</p>\n"
        yield f"<pre>{html.escape(str(exc))}</pre>\n"
        frames = traceback.extract_tb(exc.__traceback__)
        for frame in reversed([frame for frame in frames if is_users(frame.filename)]):
            yield _frame(frame)
        whole = "".join(traceback.format_exception(exc))
        yield f"<details><summary>All of it</summary>\n<pre>{html.escape(whole)}</pre></details>\n"

    return _page(f"{name}: {what}", body())


def _frame(frame: Any) -> str:
    """One frame with the lines around the one that was executed."""
    last = frame.lineno or 1
    lines = []
    for number in range(max(1, last - _AROUND), last + _AROUND + 1):
        text = linecache.getline(frame.filename, number)
        line = html.escape(f"{number:5}  {text.rstrip()}")
        if number == last:
            lines.append(f"<mark>{line}</mark>")
        elif text:
            lines.append(line + "\n")
    place = html.escape(f"{frame.filename}:{last} in {frame.name}")
    return f"<h2><code>{place}</code></h2>\n<pre>{''.join(lines)}</pre>\n"
