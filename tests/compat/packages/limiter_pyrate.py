"""fastapi-limiter: a dependency that lets two requests through."""

from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient
from fastapi_limiter.depends import RateLimiter
from pyrate_limiter import Duration, Limiter, Rate

app = FastAPI()


@app.get("/", dependencies=[Depends(RateLimiter(limiter=Limiter(Rate(2, Duration.MINUTE))))])
async def index() -> dict[str, str]:
    return {"msg": "Hello World"}


with TestClient(app) as client:
    assert [client.get("/").status_code for _ in range(3)] == [200, 200, 429]
