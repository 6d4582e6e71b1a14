"""sentry-sdk as it sets itself up, with its integrations of FastAPI and Starlette.

These change functions that no request goes through here: errors reach Sentry by the log, once.
"""

import sentry_sdk
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sentry_sdk.transport import Transport

events = []


class Kept(Transport):
    def capture_envelope(self, envelope):
        events.extend(item.payload.json for item in envelope.items if item.type == "event")


sentry_sdk.init(dsn="http://key@127.0.0.1/1", transport=Kept)
app = FastAPI()


@app.get("/wrong")
async def read_wrong():
    raise ValueError("it is wrong")


with TestClient(app, raise_server_exceptions=False) as client:
    assert client.get("/wrong").status_code == 500
sentry_sdk.flush()
[event] = events
assert event["exception"]["values"][-1]["value"] == "it is wrong"
