"""The command `fluvial client`, which writes a typed client of an app."""

from __future__ import annotations

from keyword import iskeyword
from typing import Any

import click

from .show import app_options, load_own_app


@click.command()
@app_options
@click.option("--python", "language", flag_value="python", help="For httpx, sync and async.")
@click.option("--typescript", "language", flag_value="typescript", help="For fetch.")
@click.option("--output", type=click.File("w", atomic=True), default="-", help="Default: stdout.")
@click.option("--name", default="Client", show_default=True, help="The name of the client's class.")
def client(output: Any, language: str | None, name: str, **which: Any) -> None:
    """Write a typed client of the app that MODULE:APP names, in Python or TypeScript.

    It is made from the app's OpenAPI document: models, and a function for each operation.
    """
    if language is None:
        raise click.UsageError("Say which language is wanted: --python or --typescript.")
    if not name.isidentifier() or not name.isascii() or name[0] == "_" or iskeyword(name):
        raise click.UsageError(
            f"--name {name!r} is no name for a class; write one like ShopClient."
        )
    from .._clients import DocumentError, write_client

    try:
        text = write_client(load_own_app(**which).openapi(), language, name)
    except DocumentError as exc:
        raise click.ClickException(f"{which['target']}: {exc}") from None
    output.write(text)
