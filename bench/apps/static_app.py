"""The files of the folder that the variable FILES names, served in C and by Python code."""

from __future__ import annotations

import os

from fluvial import App
from fluvial.staticfiles import StaticFiles


class InPython(StaticFiles):
    """A subclass may change anything, so Python code serves its files."""


app = App()
app.mount("/static", StaticFiles(directory=os.environ["FILES"]))
app.mount("/python", InPython(directory=os.environ["FILES"]))
