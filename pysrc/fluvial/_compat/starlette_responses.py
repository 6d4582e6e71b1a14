"""Names of types that annotations of streaming responses use."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

Content = str | bytes | memoryview
SyncContentStream = Iterable[Content]
AsyncContentStream = AsyncIterable[Content]
ContentStream = AsyncContentStream | SyncContentStream

__all__ = ["AsyncContentStream", "Content", "ContentStream", "SyncContentStream"]
