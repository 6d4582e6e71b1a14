"""prometheus-fastapi-instrumentator: requests are counted by route."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_fastapi_instrumentator import Instrumentator

app = FastAPI()


@app.get("/items/{number}")
def read_item(number: int):
    return number


Instrumentator().instrument(app).expose(app)

with TestClient(app) as client:
    assert [client.get(f"/items/{number}").status_code for number in ("3", "4", "x")] == [
        200,
        200,
        422,
    ]
    metrics = client.get("/metrics").text
    counted = [line for line in metrics.splitlines() if line.startswith("http_requests_total{")]
    assert any('handler="/items/{number}"' in line and line.endswith(" 2.0") for line in counted)
