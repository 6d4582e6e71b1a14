"""A program as FastAPI's tutorials lead to it: routers, SQLModel on SQLite, a session by yield."""
