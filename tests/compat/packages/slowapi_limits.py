"""slowapi: limits by decorator and middleware, of both kinds of handlers."""

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from slowapi import Limiter, _rate_limit_exceeded_handler
from slowapi.errors import RateLimitExceeded
from slowapi.middleware import SlowAPIMiddleware
from slowapi.util import get_remote_address

limiter = Limiter(key_func=get_remote_address)
app = FastAPI()
app.state.limiter = limiter
app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
app.add_middleware(SlowAPIMiddleware)


@app.get("/async")
@limiter.limit("2/minute")
async def read_async(request: Request):
    return "async"


@app.get("/sync")
@limiter.limit("2/minute")
def read_sync(request: Request):
    return "sync"


with TestClient(app) as client:
    for path in ("/async", "/sync"):
        assert [client.get(path).status_code for _ in range(3)] == [200, 200, 429], path
