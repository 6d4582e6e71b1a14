"""Todos in SQLite through Tortoise ORM.

fluvial run todos_tortoise:app --app-dir examples
curl -d '{"text": "pay rent", "due": "2030-01-31"}' http://127.0.0.1:8000/todos
"""

import calendar
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

from fluvial import App, HTTPException, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from tortoise import fields, models
from tortoise.contrib.starlette import RegisterTortoise

DATABASE_URL = os.environ.get("DATABASE_URL", "sqlite://todos.db")


class Todo(models.Model):
    id = fields.IntField(primary_key=True)
    text = fields.CharField(max_length=200)
    due = fields.DateField(null=True)
    done = fields.BooleanField(default=False)


class NewTodo(BaseModel):
    text: str = Field(min_length=1, max_length=200)
    due: date | None = None


class TodoOut(NewTodo):
    model_config = ConfigDict(from_attributes=True)

    id: int
    done: bool


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[None]:
    modules = {"models": [__name__]}
    async with RegisterTortoise(app, db_url=DATABASE_URL, modules=modules, generate_schemas=True):
        yield


app = App(lifespan=lifespan)


@app.post("/todos", status_code=201)
async def create_todo(new: NewTodo) -> TodoOut:
    return TodoOut.model_validate(await Todo.create(**new.model_dump()))


@app.get("/todos")
async def list_todos(done: bool = False, before: date | None = None) -> list[TodoOut]:
    query = Todo.filter(done=done).order_by("due", "id")
    if before is not None:
        query = query.filter(due__lt=before)
    return [TodoOut.model_validate(todo) async for todo in query]


@app.put("/todos/{todo_id}/done")
async def finish_todo(todo_id: int) -> TodoOut:
    todo = await Todo.get_or_none(id=todo_id)
    if todo is None:
        raise HTTPException(404, f"no todo {todo_id}")
    todo.done = True
    await todo.save()
    return TodoOut.model_validate(todo)


@app.get("/calendar/{year}/{month}")
def show_month(year: int, month: int) -> PlainTextResponse:
    """Nothing to await here, so a plain `def` does."""
    return PlainTextResponse(calendar.TextCalendar().formatmonth(year, month))
