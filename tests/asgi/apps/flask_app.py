"""A Flask app."""

from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, request, send_file, session

app = Flask(__name__)
app.secret_key = "for tests"


@app.get("/items/<int:number>")
def item(number: int) -> dict[str, Any]:
    return {"number": number, "q": request.args.get("q"), "root": request.script_root}


@app.post("/echo")
def echo() -> bytes:
    return request.get_data()


@app.post("/form")
def form() -> dict[str, Any]:
    return {"note": request.form["note"], "size": len(request.files["file"].read())}


@app.get("/stream")
def stream() -> Response:
    def numbers() -> Iterator[str]:
        yield from (f"{number}," for number in range(100))

    return Response(numbers(), mimetype="text/plain")


@app.get("/file")
def file() -> Response:
    return send_file(__file__)


@app.get("/count")
def count() -> str:
    session["count"] = session.get("count", 0) + 1
    return str(session["count"])


@app.get("/no")
def no() -> None:
    abort(403)
