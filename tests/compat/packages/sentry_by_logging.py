"""sentry-sdk without its integrations of FastAPI and Starlette: errors reach it by the log."""

import sentry_sdk
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sentry_sdk.transport import Transport

events = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        events.extend(item.payload.json for item in envelope.items if item.type == "event")


# Other integrations than the log's are enabled by what is installed: that of redis imports
# OpenTelemetry, by which FastAPI's programs get spans.
sentry_sdk.init(
    dsn="http://key@127.0.0.1/1",
    transport=Kept,
    auto_enabling_integrations=False,
)
app = FastAPI()


@app.get("/wrong")
async def read_wrong():
    raise ValueError("it is wrong")


with TestClient(app, raise_server_exceptions=False) as client:
    assert client.get("/wrong").status_code == 500
sentry_sdk.flush()
[event] = events
assert event["exception"]["values"][-1]["value"] == "it is wrong"
assert event["logger"] == "fluvial.error"
