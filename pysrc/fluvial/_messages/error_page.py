"""An exception's traceback as an HTML page, for those who develop an app."""

from __future__ import annotations

import html
import linecache
import os
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from typing import Any

_AROUND = 3  # lines of source before and after the one that raised
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .25rem .75rem }
tr:nth-child(even) { background: #8881 } code, pre { font: 14px/1.5 ui-monospace, monospace }
pre { background: #8881; padding: .75rem; overflow-x: auto } mark { display: block }
"""
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_LIBRARIES = tuple(
    os.path.join(sysconfig.get_path(name), "")
    for name in ("stdlib", "platstdlib", "purelib", "scripts")  # the last has bin/fluvial itself
)


def is_users(filename: str) -> bool:
    """Whether a file is the user's own code: not Fluvial's, Python's, a library's or a
    command's that was installed with one."""
    return os.path.isabs(filename) and not filename.startswith((_OURS + os.sep, *_LIBRARIES))


def page(title: str, body: Iterable[str]) -> str:
    """A page with the style of all of them."""
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{''.join(body)}</body>\n</html>\n"
    )


def error_page(what: str, exc: BaseException) -> str:
    """A traceback as HTML: the user's own frames first, innermost first; then all of it."""
    name = type(exc).__name__

    def body() -> Iterator[str]:
        yield f"<h1>{html.escape(name)}</h1>\n<p>{html.escape(what)}</p>\n"
        yield f"<pre>{html.escape(str(exc))}</pre>\n"
        frames = traceback.extract_tb(exc.__traceback__)
        for frame in reversed([frame for frame in frames if is_users(frame.filename)]):
            yield _frame(frame)
        whole = "".join(traceback.format_exception(exc))
        yield f"<details><summary>All of it</summary>\n<pre>{html.escape(whole)}</pre></details>\n"

    return page(f"{name}: {what}", body())


def _frame(frame: Any) -> str:
    """One frame with the lines around the one that was executed."""
    last = frame.lineno or 1
    lines = []
    for number in range(max(1, last - _AROUND), last + _AROUND + 1):
        text = linecache.getline(frame.filename, number)
        line = html.escape(f"{number:5}  {text.rstrip()}")
        if number == last:
            lines.append(f"<mark>{line}</mark>")
        elif text:
            lines.append(line + "\n")
    place = html.escape(f"{frame.filename}:{last} in {frame.name}")
    return f"<h2><code>{place}</code></h2>\n<pre>{''.join(lines)}</pre>\n"
