"""The schema of FastAPI's models of OpenAPI documents. Ours are plain dicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SchemaType = Literal["array", "boolean", "integer", "null", "number", "object", "string"]


class Schema(BaseModel):
    """A schema, with any keyword; its type is checked."""

    model_config = ConfigDict(extra="allow")

    type: SchemaType | list[SchemaType] | None = None
    title: str | None = None
    description: str | None = None
    properties: dict[str, Any] | None = None
    required: list[str] | None = None
    items: Any = None
    enum: list[Any] | None = None
    default: Any = None
