"""Printers for gdb: what the core's structs say, in one look.

    gdb -x scripts/gdb.py -p PID          or, in gdb:  source scripts/gdb.py

    Slice     b"GET / HTTP/1.1" (14 bytes)
    Buf       b"..." (120 of 4096 bytes)
    Stream    STREAM_OPEN on descriptor 13, reading, 0 bytes queued
    HttpConn  CONN_BODY, POST "/items" (response: HTTP_RESPONSE_NONE), 5 bytes of body, 0 kept, ...

`print /r conn` shows the struct itself. Works with every build: all have debug information.
"""

from __future__ import annotations

import gdb
import gdb.printing

SHOWN = 120  # bytes of a text


def text_of(pointer: gdb.Value, length: int) -> str:
    """The bytes at `pointer`, as Python writes them; what can't be read is told."""
    if length == 0:
        return 'b""'
    try:
        raw = bytes(gdb.selected_inferior().read_memory(int(pointer), min(length, SHOWN)))
    except gdb.MemoryError:
        return f"<{length} bytes at {int(pointer):#x}, not readable>"
    return repr(raw) + ("..." if length > SHOWN else "")


def flags_of(value: gdb.Value, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if bool(value[name])]


class SlicePrinter:
    """A borrowed run of bytes."""

    def __init__(self, value: gdb.Value) -> None:
        self.value = value

    def to_string(self) -> str:
        length = int(self.value["len"])
        return f"{text_of(self.value['ptr'], length)} ({length} bytes)"


class BufPrinter:
    """A growable run of bytes."""

    def __init__(self, value: gdb.Value) -> None:
        self.value = value

    def to_string(self) -> str:
        length, room = int(self.value["len"]), int(self.value["cap"])
        return f"{text_of(self.value['ptr'], length)} ({length} of {room} bytes)"


class StreamPrinter:
    """A connected byte stream."""

    FLAGS = ("reading", "read_eof", "over_high", "want_empty", "shutting", "failed", "cut", "reset")

    def __init__(self, value: gdb.Value) -> None:
        self.value = value

    def to_string(self) -> str:
        value = self.value
        if str(value["state"]) == "STREAM_UNUSED":
            return "STREAM_UNUSED"
        # libuv has the descriptor at the same place in TCP and Unix sockets.
        descriptor = int(value["uv"]["stream"]["io_watcher"]["fd"])
        parts = [f"{value['state']} on descriptor {descriptor}", *flags_of(value, self.FLAGS)]
        parts.append(f"{int(value['queued'])} bytes queued")
        if int(value["secure"]) != 0:
            parts.append(f"TLS at {int(value['secure']):#x}")
        return ", ".join(parts)


class ConnPrinter:
    """One HTTP connection, with the request that is under way."""

    FLAGS = ("eof", "broken", "paused", "held", "yielded", "lent", "left")

    def __init__(self, value: gdb.Value) -> None:
        self.value = value

    def to_string(self) -> str:
        value = self.value
        parts = [str(value["state"])]
        if int(value["req"]) != 0:
            parts.append(self.request(value["req"].dereference()))
        kept = int(value["kept"]["len"]) - int(value["kept_from"])
        parts += [f"{int(value['body_received'])} bytes of body", f"{kept} kept"]
        parts += flags_of(value, self.FLAGS)
        parts += [
            str(value["deadline"]["kind"]),
            f"{{{StreamPrinter(value['stream']).to_string()}}}",
        ]
        return ", ".join(parts)

    @staticmethod
    def request(req: gdb.Value) -> str:
        try:
            target = text_of(req["head"]["ptr"], int(req["target_len"]))
            return f"{method_of(req['method'])} {target} (response: {req['response']})"
        except gdb.MemoryError:
            return f"a request at {int(req.address):#x}, not readable"


def method_of(number: gdb.Value) -> str:
    try:
        name = str(number.cast(gdb.lookup_type("llhttp_method_t")))
    except gdb.error:  # the compiler left the type out
        return f"method {int(number)}"
    return name.removeprefix("HTTP_")


def collection() -> gdb.printing.RegexpCollectionPrettyPrinter:
    found = gdb.printing.RegexpCollectionPrettyPrinter("fluvial")
    found.add_printer("Slice", "^Slice$", SlicePrinter)
    found.add_printer("Buf", "^Buf$", BufPrinter)
    found.add_printer("Stream", "^Stream$", StreamPrinter)
    found.add_printer("HttpConn", "^HttpConn$", ConnPrinter)
    return found


gdb.printing.register_pretty_printer(gdb.current_objfile(), collection(), replace=True)
