"""The markers of parameters, under the name by which FastAPI's programs import them."""

from .params import Body, Cookie, Depends, File, Form, Header, Path, Query, Security

__all__ = [
    "Body",
    "Cookie",
    "Depends",
    "File",
    "Form",
    "Header",
    "Path",
    "Query",
    "Security",
]
