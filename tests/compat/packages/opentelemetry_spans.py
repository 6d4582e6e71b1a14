"""OpenTelemetry's instrumentation of FastAPI: spans have the routes' names."""

from fastapi import FastAPI
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
app = FastAPI()


@app.get("/items/{number}")
async def read_item(number: int):
    return trace.get_current_span().get_span_context().trace_id


FastAPIInstrumentor.instrument_app(app)

with TestClient(app) as client:
    inside = client.get("/items/3").json()
spans = {span.name: span for span in exporter.get_finished_spans()}
assert spans["GET /items/{number}"].context.trace_id == inside
assert spans["GET /items/{number}"].attributes["http.route"] == "/items/{number}"
