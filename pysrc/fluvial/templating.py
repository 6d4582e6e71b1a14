"""HTML pages made of Jinja templates. Needs jinja2: pip install fluvial[templates]."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ._calling.rendered import rendered
from .responses import HTMLResponse

if TYPE_CHECKING:
    import jinja2

    from ._messages.after_response import Background
    from .datastructures import URL
    from .requests import Request

__all__ = ["Jinja2Templates"]

ContextProcessor = Callable[["Request"], dict[str, Any]]
Directory = str | os.PathLike[str]


class TemplateResponse(HTMLResponse):
    """A page; `template` and `context` say what it was made of."""

    def __init__(self, template: Any, context: dict[str, Any], *args: Any, **options: Any) -> None:
        self.template = template
        self.context = context
        super().__init__(template.render(context), *args, **options)
        if (tell := rendered.get()) is not None:
            tell(template, context)


class Jinja2Templates:
    """Templates in `directory`, or in several, or those of your own environment `env`.

    Values are escaped in .html, .htm and .xml files. Templates have `request` and `url_for`, and
    what `context_processors`, functions of the request, return.

    Raises: TypeError unless one of `directory` and `env` is given, ImportError without jinja2.
    """

    def __init__(
        self,
        directory: Directory | Sequence[Directory] | None = None,
        *,
        context_processors: Sequence[ContextProcessor] | None = None,
        env: jinja2.Environment | None = None,
    ) -> None:
        if (directory is None) == (env is None):
            raise TypeError("Jinja2Templates() takes either `directory` or `env`")
        try:
            import jinja2
        except ImportError as exc:
            raise ImportError(
                "Jinja2Templates needs jinja2: pip install fluvial[templates]"
            ) from exc
        if env is None:
            assert directory is not None
            loader = jinja2.FileSystemLoader(directory)
            env = jinja2.Environment(loader=loader, autoescape=jinja2.select_autoescape())
        self.env = env
        self.context_processors = list(context_processors or ())
        env.globals.setdefault("url_for", jinja2.pass_context(_url_for))

    def get_template(self, name: str) -> jinja2.Template:
        """The template. Raises: jinja2.TemplateNotFound."""
        return self.env.get_template(name)

    def TemplateResponse(
        self,
        request: Request,
        name: str,
        context: dict[str, Any] | None = None,
        status_code: int = 200,
        headers: Mapping[str, str] | None = None,
        media_type: str | None = None,
        background: Background | None = None,
    ) -> TemplateResponse:
        """The page that the template `name` makes of `context`.

        Raises: TypeError when `request` isn't first, as it was in old programs; what the template
        raises.
        """
        first: Any = request
        if isinstance(first, str):
            raise TypeError(
                "TemplateResponse(request, name, context): the request comes first, and need not "
                "be in the context"
            )
        values = dict(context or {})
        values.setdefault("request", request)
        for processor in self.context_processors:
            values.update(processor(request))
        template = self.get_template(name)
        return TemplateResponse(template, values, status_code, headers, media_type, background)


def _url_for(context: Any, name: str, /, **path_params: Any) -> URL:
    request: Request = context["request"]
    return request.url_for(name, **path_params)
