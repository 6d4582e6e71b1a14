"""FastAPI's and Starlette's own spans: FastAPI(telemetry=…) and OpenTelemetryMiddleware."""

from fastapi import FastAPI, HTTPException, WebSocket
from fastapi.telemetry import get_telemetry_data
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.opentelemetry import OpenTelemetryMiddleware
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route

exporter = InMemorySpanExporter()
tracers = TracerProvider()
tracers.add_span_processor(SimpleSpanProcessor(exporter))
reader = InMemoryMetricReader()
meters = MeterProvider(metric_readers=[reader])


def spans() -> dict:
    """By name: the attributes of the spans that have ended since the last call."""
    found = {span.name: dict(span.attributes) for span in exporter.get_finished_spans()}
    exporter.clear()
    return found


app, sub = FastAPI(telemetry={"tracer_provider": tracers, "meter_provider": meters}), FastAPI()


@app.get("/items/{number}")
def read_item(number: int):
    assert get_telemetry_data().request.url.path == f"/items/{number}"
    return trace.get_current_span().get_span_context().trace_id


@app.get("/fails")
async def fails():
    raise ValueError("broken")


@app.exception_handler(500)
async def on_failure(request, exc):
    return JSONResponse({"sorry": True}, 500)


@sub.get("/{name}")
async def named(name: str):
    raise HTTPException(418)


@app.websocket("/ws")
async def socket(websocket: WebSocket):
    await websocket.accept()
    raise KeyError("lost")


app.mount("/of/{tenant}", sub)
client = TestClient(app, raise_server_exceptions=False)
parent = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}
assert client.get("/items/3?sig=secret&a=b", headers=parent).json() == int("1" * 32, 16)
(read,) = spans().values()
assert read["http.route"] == "/items/{number}"
assert read["url.query"] == "sig=REDACTED&a=b"
assert read["http.response.status_code"] == 200
assert client.get("/items/x").status_code == 422
assert client.get("/of/a/b").status_code == 418
assert client.get("/nowhere").status_code == 404
assert client.get("/fails").json() == {"sorry": True}
found = spans()
assert sorted(found) == ["GET", "GET /fails", "GET /items/{number}", "GET /of/{tenant}/{name}"]
assert found["GET /fails"]["error.type"] == "ValueError"
assert "error.type" not in found["GET"]
with client.websocket_connect("/ws"):
    pass
assert spans()["WS /ws"]["error.type"] == "KeyError"
(data,) = reader.get_metrics_data().resource_metrics
metrics = {metric.name: metric.data for scope in data.scope_metrics for metric in scope.metrics}
points = metrics["http.server.request.duration"].data_points
assert sum(point.count for point in points) == 5
assert all(point.value == 0 for point in metrics["http.server.active_requests"].data_points)

refused = ""
try:
    FastAPI(telemetry={"tracer": tracers})
except TypeError as exc:
    refused = str(exc)
assert "tracer" in refused


def homepage(request):
    return PlainTextResponse("home")


layer = Middleware(OpenTelemetryMiddleware, tracer_provider=tracers, excluded_urls="/health")
routes = [Route("/", homepage), Route("/health", homepage), Route("/{name}/{n:int}", homepage)]
starlette = Starlette(routes=[*routes, Mount("/sub", routes=routes)], middleware=[layer, layer])
client = TestClient(starlette)
for path in ("/", "/health", "/a/3", "/sub/a/4"):
    assert client.get(path).status_code == 200
names = ["GET /", "GET /sub/{name}/{n:int}", "GET /{name}/{n:int}"]
assert sorted(spans()) == names
