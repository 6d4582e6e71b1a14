"""Strawberry and Ariadne, unchanged: queries by HTTP, subscriptions by WebSocket."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.skips import need

if TYPE_CHECKING:
    from .conftest import Client

need("strawberry", "ariadne")

FLAVOURS = pytest.mark.parametrize("path", ["/strawberry/", "/ariadne/"])


@FLAVOURS
def test_queries(client: Client, path: str) -> None:
    answer = client.post(path, json={"query": '{ hello(name: "you") }'}).json()
    assert answer["data"] == {"hello": "hello you"}
    assert "errors" in client.post(path, json={"query": "{ nothing }"}).json()


@FLAVOURS
def test_subscriptions(client: Client, path: str) -> None:
    with client.websocket(path, subprotocols=["graphql-transport-ws"]) as websocket:
        assert websocket.subprotocol == "graphql-transport-ws"
        websocket.send('{"type": "connection_init"}')
        assert json.loads(websocket.recv(30))["type"] == "connection_ack"
        query = {"query": "subscription { count(to: 3) }"}
        websocket.send(json.dumps({"id": "1", "type": "subscribe", "payload": query}))
        events = [json.loads(websocket.recv(30)) for _ in range(4)]
    assert [event["payload"]["data"]["count"] for event in events[:3]] == [0, 1, 2]
    assert events[3] == {"type": "complete", "id": "1"}
