"""asgi-correlation-id: the middleware, and the ID in the log and in responses."""

from asgi_correlation_id import CorrelationIdMiddleware
from asgi_correlation_id.context import correlation_id
from fastapi import FastAPI, Request
from fastapi.exception_handlers import http_exception_handler
from fastapi.exceptions import HTTPException
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient

app = FastAPI()
app.add_middleware(CorrelationIdMiddleware, validator=None)


@app.get("/")
async def index() -> str | None:
    return correlation_id.get()


@app.get("/thread")
def thread() -> str | None:
    return correlation_id.get()


@app.get("/fail")
async def fail() -> None:
    raise ZeroDivisionError


@app.exception_handler(Exception)
async def unhandled(request: Request, exc: Exception) -> JSONResponse:
    return await http_exception_handler(
        request,
        HTTPException(500, "failed", headers={"X-Request-ID": correlation_id.get() or ""}),
    )


client = TestClient(app, raise_server_exceptions=False)
for path in ("/", "/thread"):
    response = client.get(path, headers={"X-Request-ID": "abc"})
    assert response.json() == response.headers["x-request-id"] == "abc"
made = client.get("/")
assert len(made.json()) == 32
failed = client.get("/fail", headers={"X-Request-ID": "def"})
assert failed.status_code == 500, failed.text
assert failed.json() == {"detail": "failed"}
