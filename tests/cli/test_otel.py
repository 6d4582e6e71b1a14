"""--otel: what a collector gets by OTLP, of apps of each kind and of several workers."""

from __future__ import annotations

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from fluvial import Config
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from support.command import launched

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
NATIVE = """
from fluvial import App
app = App()
@app.get("/items/{number}")
async def item(number: int) -> int:
    return number
@app.get("/sync")
def sync() -> None: ...
@app.get("/fail")
async def fail() -> None:
    raise ZeroDivisionError
"""
FASTAPI = NATIVE.replace("from fluvial import App", "from fastapi import FastAPI as App")


class Collector:
    """What has been sent to it."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.metrics: list[Any] = []
        self.url = ""

    def take(self, path: str, body: bytes) -> None:
        """Takes one message."""
        if path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    self.spans += scope.spans
        elif path == "/v1/metrics":
            for of in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                for scope in of.scope_metrics:
                    self.metrics += scope.metrics

    def named(self) -> dict[str, Any]:
        """The spans by their names."""
        return {span.name: span for span in self.spans}


def attributes_of(found: Any) -> dict[str, Any]:
    """Attributes as a dict."""
    return {
        each.key: getattr(each.value, str(each.value.WhichOneof("value")))
        for each in found.attributes
    }


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            made.take(self.path, body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def telling(
    folder: Path, text: str, collector: Collector, *options: str, workers: int = 1
) -> Iterator[str]:
    """An app that tells the collector, which has got everything after the block."""
    (folder / "it.py").write_text(text)
    env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_SERVICE_NAME": "shop"}
    more = ("--otel", "--cleanup-timeout", "30", "--workers", str(workers), *options)
    with launched("it:app", *more, app_dir=folder, env=env) as server:
        server.expect("Fluvial running", workers)
        yield server.url
        assert server.stop() == 0


@pytest.mark.parametrize("text", [NATIVE, FASTAPI], ids=["native", "FastAPI"])
def test_spans_have_the_names_of_the_conventions(
    tmp_path: Path, collector: Collector, text: str
) -> None:
    with telling(tmp_path, text, collector) as url:
        httpx.get(f"{url}/items/4?a=1", headers={"traceparent": PARENT, "user-agent": "test"})
        httpx.get(f"{url}/sync")
        httpx.get(f"{url}/fail")
        httpx.get(f"{url}/none")
    spans = collector.named()
    assert len(collector.spans) == 4
    assert sorted(spans) == ["GET", "GET /fail", "GET /items/{number}", "GET /sync"]
    item, fail = spans["GET /items/{number}"], spans["GET /fail"]
    assert item.trace_id.hex() == PARENT.split("-")[1]
    assert item.parent_span_id.hex() == PARENT.split("-")[2]
    assert item.kind == item.SPAN_KIND_SERVER
    told = attributes_of(item)
    assert told.pop("server.port") == int(url.rpartition(":")[2])
    assert told == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/items/{number}",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "client.address": "127.0.0.1",
        "url.path": "/items/4",
        "url.query": "a=1",
        "url.scheme": "http",
        "user_agent.original": "test",
    }
    assert attributes_of(fail)["http.response.status_code"] == 500
    assert attributes_of(fail)["error.type"] in ("ZeroDivisionError", "500")
    assert fail.status.code == fail.status.STATUS_CODE_ERROR
    assert attributes_of(spans["GET"])["http.response.status_code"] == 404


WSGI = """
from flask import Flask, Response
from opentelemetry import trace

flask = Flask(__name__)
@flask.get("/items/<int:number>")
def item(number):
    return str(number)
@flask.get("/pieces")
def pieces():
    def make():
        yield b"a"
        yield trace.format_span_id(trace.get_current_span().get_span_context().span_id).encode()
    return Response(make())
@flask.get("/late")
def late():
    def make():
        yield b"a"
        raise ZeroDivisionError
    return Response(make(), headers={"content-length": "2"})

def app(environ, start_response):
    if environ["PATH_INFO"] == "/fail":
        raise KeyError
    if environ["PATH_INFO"] == "/nothing":
        start_response("200 OK", [])
        return None
    return flask(environ, start_response)
"""


def test_spans_of_a_wsgi_app(tmp_path: Path, collector: Collector) -> None:
    with telling(tmp_path, WSGI, collector, "--interface", "wsgi") as url:
        httpx.get(f"{url}/items/4?a=1", headers={"traceparent": PARENT, "user-agent": "test"})
        pieces = httpx.get(f"{url}/pieces").text
        httpx.get(f"{url}/fail")
        with pytest.raises(httpx.RemoteProtocolError):
            httpx.get(f"{url}/late")
        httpx.get(f"{url}/none")
        httpx.get(f"{url}/nothing")
    spans = sorted(collector.spans, key=lambda span: span.start_time_unix_nano)
    names = ["GET /items/<int:number>", "GET /pieces", "GET", "GET /late", "GET", "GET"]
    assert [span.name for span in spans] == names
    item, streamed, fail, late, none, nothing = map(attributes_of, spans)
    assert spans[0].trace_id.hex() == PARENT.split("-")[1]
    assert spans[0].parent_span_id.hex() == PARENT.split("-")[2]
    assert item.pop("server.port") == int(url.rpartition(":")[2])
    assert item == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/items/<int:number>",
        "network.protocol.version": "1.1",
        "server.address": "127.0.0.1",
        "client.address": "127.0.0.1",
        "url.path": "/items/4",
        "url.query": "a=1",
        "url.scheme": "http",
        "user_agent.original": "test",
    }
    assert pieces == "a" + spans[1].span_id.hex()  # the generator runs within the span
    assert (streamed["http.response.status_code"], none["http.response.status_code"]) == (200, 404)
    assert (fail["http.response.status_code"], fail["error.type"]) == (500, "KeyError")
    assert (late["http.response.status_code"], late["error.type"]) == (200, "ZeroDivisionError")
    assert nothing["error.type"] == "TypeError"


def test_metrics(tmp_path: Path, collector: Collector) -> None:
    with telling(tmp_path, NATIVE, collector) as url:
        for number in range(3):
            httpx.get(f"{url}/items/{number}")
        for method in ("PROPFIND", "QUERY"):
            httpx.request(method, f"{url}/items/1")
    named = {metric.name: metric for metric in collector.metrics}
    points = {
        (told["http.request.method"], told.get("http.route")): (point.count, told)
        for point in named["http.server.request.duration"].histogram.data_points
        for told in [attributes_of(point)]
    }
    count, told = points["GET", "/items/{number}"]
    assert (count, told["http.response.status_code"]) == (3, 200)
    assert "url.path" not in told
    assert points["_OTHER", "/items/{number}"][0] == 1
    assert points["QUERY", "/items/{number}"][0] == 1
    assert named["http.server.request.duration"].unit == "s"
    active = named["http.server.active_requests"].sum.data_points
    assert {point.as_int for point in active} == {0}


def test_all_workers_tell(tmp_path: Path, collector: Collector) -> None:
    text = NATIVE.replace(
        "-> int:\n    return number", "-> int:\n    return __import__('os').getpid()"
    )
    count, pids = 0, set()
    with telling(tmp_path, text, collector, workers=2) as url:
        while len(pids) < 2:
            pids.add(httpx.get(f"{url}/items/1").text)
            count += 1
    assert len(collector.spans) == count


def test_a_collector_that_is_not_there(tmp_path: Path) -> None:
    gone = Collector()
    gone.url = "http://127.0.0.1:9"
    with telling(tmp_path, NATIVE, gone) as url:
        assert httpx.get(f"{url}/items/4").json() == 4


def test_nothing_is_imported_unless_asked(tmp_path: Path) -> None:
    text = NATIVE + '@app.get("/modules")\nasync def modules() -> bool:\n    import sys\n'
    text += '    return any(name.startswith("opentelemetry") for name in sys.modules)\n'
    (tmp_path / "it.py").write_text(text)
    with launched("it:app", app_dir=tmp_path) as server:
        server.expect("Fluvial running")
        assert httpx.get(f"{server.url}/modules").json() is False
        assert server.stop() == 0


def test_without_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"pip install 'fluvial\[otel\]'"):
        Config(otel=True)
