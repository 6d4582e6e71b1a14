"""What the development server shows in a browser: the app's routes."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .._messages.error_page import page
from .show import rows_of

if TYPE_CHECKING:
    from ..applications import App


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

    return page(app.title, body())
