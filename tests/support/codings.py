"""Decoders of content codings, piece by piece, by the libraries that the core compresses with."""

from __future__ import annotations

import ctypes
import zlib
from typing import Protocol

ROOM = 1 << 16


class Decoder(Protocol):
    """Decodes one body."""

    def feed(self, data: bytes) -> bytes:
        """Everything that can be decoded by now. Raises: ValueError for what isn't the coding."""

    @property
    def complete(self) -> bool:
        """Whether the coded body has ended."""


class Gzip:
    """gzip (RFC 1952)."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(31)

    def feed(self, data: bytes) -> bytes:
        """See Decoder."""
        return self._zlib.decompress(data)

    @property
    def complete(self) -> bool:
        """See Decoder."""
        return self._zlib.eof and not self._zlib.unused_data


class Brotli:
    """br (RFC 7932)."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libbrotlidec.so.1")
        self._library.BrotliDecoderCreateInstance.restype = ctypes.c_void_p
        self._state = ctypes.c_void_p(self._library.BrotliDecoderCreateInstance(None, None, None))

    def feed(self, data: bytes) -> bytes:
        """See Decoder."""
        found = b""
        buffer = ctypes.create_string_buffer(data, max(1, len(data)))
        rest = ctypes.c_char_p(ctypes.addressof(buffer))
        left = ctypes.c_size_t(len(data))
        while True:
            room = ctypes.create_string_buffer(ROOM)
            end, free = ctypes.c_void_p(ctypes.addressof(room)), ctypes.c_size_t(ROOM)
            result = self._library.BrotliDecoderDecompressStream(
                self._state, *map(ctypes.byref, (left, rest, free, end)), None
            )
            if result == 0:
                raise ValueError("not br")
            found += room.raw[: ROOM - free.value]
            if result != 3:  # it doesn't ask for more room
                return found

    @property
    def complete(self) -> bool:
        """See Decoder."""
        return bool(self._library.BrotliDecoderIsFinished(self._state))


class _Buffer(ctypes.Structure):
    _fields_ = (("at", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


class Zstd:
    """zstd (RFC 8878)."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL("libzstd.so.1")
        self._library.ZSTD_createDStream.restype = ctypes.c_void_p
        self._library.ZSTD_decompressStream.restype = ctypes.c_size_t
        self._library.ZSTD_isError.argtypes = (ctypes.c_size_t,)
        self._stream = ctypes.c_void_p(self._library.ZSTD_createDStream())
        self._left = 1

    def feed(self, data: bytes) -> bytes:
        """See Decoder."""
        found = b""
        kept = ctypes.create_string_buffer(data, max(1, len(data)))
        source = _Buffer(ctypes.addressof(kept), len(data), 0)
        while True:
            room = ctypes.create_string_buffer(ROOM)
            target = _Buffer(ctypes.addressof(room), ROOM, 0)
            self._left = self._library.ZSTD_decompressStream(
                self._stream, ctypes.byref(target), ctypes.byref(source)
            )
            if self._library.ZSTD_isError(self._left):
                raise ValueError("not zstd")
            found += room.raw[: target.pos]
            if source.pos == source.size and target.pos < ROOM:
                return found

    @property
    def complete(self) -> bool:
        """See Decoder."""
        return self._left == 0


DECODERS: dict[str, type[Decoder]] = {"gzip": Gzip, "br": Brotli, "zstd": Zstd}


def decode(coding: str, data: bytes) -> bytes:
    """A whole body. Raises: ValueError when it is cut off."""
    decoder = DECODERS[coding]()
    found = decoder.feed(data)
    if not decoder.complete:
        raise ValueError(f"{len(data)} bytes of {coding} are not the whole")
    return found
