"""sentry-sdk: a transaction for each request, named after its route; an event for what fails."""

import sentry_sdk
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.applications import Starlette

sent = []


class Kept(sentry_sdk.transport.Transport):
    def capture_envelope(self, envelope):
        sent.extend(item.payload.json for item in envelope.items)


sentry_sdk.init(dsn="http://key@localhost/1", transport=Kept, traces_sample_rate=1.0)
app = FastAPI()
assert isinstance(app, Starlette)


@app.middleware("http")
async def around(request, call_next):
    return await call_next(request)


@app.get("/items/{number}")
def read(number: int):
    return 1 // number


client = TestClient(app, raise_server_exceptions=False)
assert client.get("/items/1").json() == 1
assert client.get("/items/0").status_code == 500
sentry_sdk.flush()

transactions = [each for each in sent if each.get("type") == "transaction"]
assert [each["transaction"] for each in transactions] == ["/items/{number}"] * 2
codes = [each["contexts"]["response"]["status_code"] for each in transactions]
assert codes == [200, 500]
(failure,) = [each for each in sent if each.get("exception")]
assert failure["transaction"] == "/items/{number}"
assert failure["exception"]["values"][-1]["type"] == "ZeroDivisionError"
