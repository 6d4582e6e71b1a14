"""Notes in SQLite through encode's `databases`.

fluvial run notes_databases:app --app-dir examples
curl -d '{"text": "buy milk"}' http://127.0.0.1:8000/notes
"""

import csv
import io
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass

from databases import Database
from fluvial import App, HTTPException, Response

PATH = os.environ.get("NOTES_PATH", "notes.db")
TABLE = """
CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL, done BOOL NOT NULL)
"""

database = Database(f"sqlite+aiosqlite:///{PATH}")


@dataclass
class NewNote:
    text: str
    done: bool = False


@dataclass
class Note(NewNote):
    id: int = 0


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    async with database:
        await database.execute(TABLE)
        yield


app = App(lifespan=lifespan)


def as_note(row) -> Note:
    return Note(id=row.id, text=row.text, done=bool(row.done))


async def insert(note: NewNote) -> Note:
    query = "INSERT INTO notes (text, done) VALUES (:text, :done)"
    row_id = await database.execute(query, {"text": note.text, "done": note.done})
    return Note(id=row_id, text=note.text, done=note.done)


@app.post("/notes", status_code=201)
async def create_note(note: NewNote) -> Note:
    return await insert(note)


@app.post("/notes/import", status_code=201)
async def import_notes(notes: list[NewNote]) -> list[Note]:
    """All of them, or none when one is refused."""
    async with database.transaction():
        if any(not note.text for note in notes):
            raise HTTPException(400, "a note can't be empty")
        return [await insert(note) for note in notes]


@app.get("/notes")
async def list_notes(done: bool | None = None) -> list[Note]:
    query = "SELECT * FROM notes WHERE :done IS NULL OR done = :done ORDER BY id"
    return [as_note(row) for row in await database.fetch_all(query, {"done": done})]


@app.get("/notes/{note_id}")
async def read_note(note_id: int) -> Note:
    row = await database.fetch_one("SELECT * FROM notes WHERE id = :id", {"id": note_id})
    if row is None:
        raise HTTPException(404, f"no note {note_id}")
    return as_note(row)


@app.delete("/notes/{note_id}", status_code=204)
async def delete_note(note_id: int) -> None:
    await database.execute("DELETE FROM notes WHERE id = :id", {"id": note_id})


@app.get("/notes.csv")
def export_notes() -> Response:
    """The standard library's own sqlite3 blocks, so a `def` it is."""
    text = io.StringIO()
    with closing(sqlite3.connect(PATH)) as connection:
        rows = connection.execute("SELECT id, text, done FROM notes ORDER BY id")
        csv.writer(text).writerows(rows)
    return Response(text.getvalue(), media_type="text/csv")
