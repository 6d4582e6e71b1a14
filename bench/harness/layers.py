"""What a request costs by layer, from the counts that callgrind has written.

A function of ours belongs to the layer of its file. Functions of CPython, libc and others belong to
those that have called them, in proportion to what the calls cost. What a user's function does is a
layer of its own, which begins where our code calls it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Counts = dict[str, float]

# The first pattern that a function ("path/of/file.c:name") matches says its layer.
LAYERS = (
    ("write", r"ext/http/(out|watch)\.c|ext/net/.*:stream_(write|send)|ext/base/gather"),
    ("poll, read", r"ext/(loop/(?!eager)|net/)|ext/http/(conn|server|half)\.c|:(uv_run|main)$"),
    ("log, deadlines", r"ext/http/(access|log|deadline|timeout|date)|ext/app/overdue"),
    ("parse", r"llhttp|/api\.c|/http\.c|ext/http/(h1|request|exchange|forwarded|trust)|http/chars"),
    ("route", r"ext/route/|:(dispatch_head|route_head)$"),
    ("bind", r"ext/app/(bind|request_values|body)|:call_bind$"),
    ("result to JSON", r":result_encode$"),
    ("response", r"ext/http/res|ext/app/(result|header_pairs|sender)"),
    ("scope, receive, send", r"ext/asgi/(?!call)|ext/app/kept"),
    ("call", r"ext/"),
)
# Calls of users' functions: the caller of ours, and what it calls.
HANDLER = "handler"
CALLERS = r":(coro_go_on|plan_call|call_plain|call_plan|call_inline|call_task|job_run|call_app)$"
CALLED = r":(PyIter_Send|PyObject_Vectorcall|_PyObject_Vectorcall\w*)$"


class Profile:
    """The functions of a file of callgrind's: what each costs, and what its calls do."""

    def __init__(self, dump: Path) -> None:
        self.own: Counts = defaultdict(float)
        self.calls: dict[str, Counts] = defaultdict(lambda: defaultdict(float))  # by callee
        self._names: dict[tuple[str, str], str] = {}
        self._read(iter(dump.read_text().splitlines()))

    def _name(self, kind: str, text: str) -> str:
        """The name that "(12) name" gives to a number, or that "(12)" stands for."""
        number, _, name = text.partition(" ")
        if name:
            self._names[kind, number] = name
        return self._names.get((kind, number), number)

    def _read(self, lines: Iterator[str]) -> None:
        file = function = called = called_file = ""
        for line in lines:
            key, equals, text = line.partition("=")
            if not equals or " " in key:
                if line[:1] in "+-*0123456789" and function and line:
                    self.own[function] += float(line.split()[1])
            elif key == "fl":
                file = self._name("file", text)
            elif key == "fn":
                function = f"{file}:{self._name('function', text)}"
                called_file = file
            elif key in ("cfi", "cfl"):
                called_file = self._name("file", text)
            elif key in ("fi", "fe"):
                self._name("file", text)
            elif key == "cfn":
                called = f"{called_file}:{self._name('function', text)}"
            elif key == "calls":
                self.calls[called][function] += float(next(lines).split()[1])
                called_file = file


def layer_of(function: str) -> str | None:
    """The layer of a function of ours; None for others."""
    function = re.sub(r"'\d+$", "", function)
    return next((name for name, pattern in LAYERS if re.search(pattern, function)), None)


def _shares(profile: Profile) -> dict[str, Counts]:
    """How much of each function belongs to which layer."""
    shares: dict[str, Counts] = {}
    names = {*profile.own, *profile.calls}
    fixed = {name: {layer: 1.0} for name in names if (layer := layer_of(name)) is not None}
    shares.update(fixed)
    for _ in range(40):  # recursive functions take their time to settle
        for name in names - fixed.keys():
            shares[name] = _share_of(name, profile.calls[name], shares)
    return shares


def _share_of(name: str, callers: Counts, shares: dict[str, Counts]) -> Counts:
    total = sum(callers.values())
    share: Counts = defaultdict(float)
    for caller, cost in callers.items():
        users = re.search(CALLERS, caller) and re.search(CALLED, name)
        whose = {HANDLER: 1.0} if users else shares.get(caller, {})
        for layer, part in whose.items():
            share[layer] += part * cost / total if total else 0.0
    return share


def by_layer(dump: Path) -> Counts:
    """The instructions of each layer, in the order of LAYERS; those of none are "other"."""
    profile = Profile(dump)
    shares = _shares(profile)
    costs: Counts = {name: 0.0 for name, _ in LAYERS}
    costs[HANDLER] = costs["other"] = 0.0
    for name, own in profile.own.items():
        for layer, part in shares.get(name, {}).items():
            costs[layer] += part * own
        costs["other"] += own * (1 - sum(shares.get(name, {}).values()))
    return costs
