"""Answers 200 with the request's body, whatever the method and the path."""

from __future__ import annotations

from fluvial import App, Request, Response

METHODS = [
    "ACL",
    "BIND",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "M-SEARCH",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
]

app = App()


@app.api_route("/{path:path}", methods=METHODS)
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type="text/plain")


@app.exception_handler(404)
async def no_path(_request: Request, _exc: Exception) -> Response:
    """For the target `*`, which is no path."""
    return Response(b"", media_type="text/plain")
