"""A chat about the shop, by WebSockets."""

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

router = APIRouter()
rooms: dict[str, set[WebSocket]] = {}


@router.websocket("/chat/{room}")
async def chat(socket: WebSocket, room: str, name: str) -> None:
    """Passes on what each in the room says."""
    await socket.accept()
    members = rooms.setdefault(room, set())
    members.add(socket)
    try:
        while True:
            text = await socket.receive_text()
            for member in list(members):
                await member.send_json({"name": name, "text": text})
    except WebSocketDisconnect:
        members.discard(socket)
