"""Apps with `def` and `async def` swapped: the same source but for the handlers' keyword."""

from __future__ import annotations

import ast

Function = ast.FunctionDef | ast.AsyncFunctionDef

VERBS = frozenset({"get", "post", "put", "patch", "delete", "head", "options", "trace"})


def switch_keywords(source: str) -> tuple[str, list[str]]:
    """The source with every handler switched that allows it, and the names of those handlers.

    An `async def` that awaits something stays: a `def` could not.
    """
    lines = source.splitlines(keepends=True)
    switched = []
    for node in ast.parse(source).body:
        if isinstance(node, Function) and _is_handler(node) and not _awaits(node):
            line = lines[node.lineno - 1]
            if isinstance(node, ast.AsyncFunctionDef):
                lines[node.lineno - 1] = line.replace("async def ", "def ", 1)
            else:
                lines[node.lineno - 1] = line.replace("def ", "async def ", 1)
            switched.append(node.name)
    return "".join(lines), switched


def _is_handler(node: Function) -> bool:
    calls = [item for item in node.decorator_list if isinstance(item, ast.Call)]
    return any(isinstance(call.func, ast.Attribute) and call.func.attr in VERBS for call in calls)


def _awaits(node: Function) -> bool:
    """Whether the function itself does; what it defines inside doesn't count."""
    todo: list[ast.AST] = list(node.body)
    while todo:
        item = todo.pop()
        if isinstance(item, ast.Await | ast.AsyncFor | ast.AsyncWith):
            return True
        if isinstance(item, ast.comprehension) and item.is_async:
            return True
        if not isinstance(item, Function | ast.Lambda):
            todo += ast.iter_child_nodes(item)
    return False
