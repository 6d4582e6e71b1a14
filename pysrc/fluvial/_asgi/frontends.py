"""A browser application's files, mounted in an app or a router, and guarded by dependencies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .._application.exception_handlers import ErrorHandlers, Handler
from .._application.plain_handlers import EVERY_METHOD, router_makers
from ..requests import Request  # noqa: TC001  # of a handler's signature
from ..responses import Response  # noqa: TC001
from .connections import side_of
from .mounts import Mount

if TYPE_CHECKING:
    from .._application.dependencies import Change, Dependencies
    from ..params import Depends
    from ..staticfiles import FrontendFiles
    from .protocol import Message, Receive, Send


class Frontend(Mount):
    """The mount of `files`. `dependencies` are those of the routers that it was included by."""

    def __init__(
        self, path: str, files: FrontendFiles, dependencies: Sequence[Depends] = ()
    ) -> None:
        """Raises: ValueError for a path that doesn't begin with "/"."""
        if not path.startswith("/"):
            raise ValueError(f"the path of a frontend begins with '/', not {path!r}")
        self.guard = _Guard(files)
        super().__init__(path, self.guard)
        self.dependencies = tuple(dependencies)

    def included(self, prefix: str, dependencies: Sequence[Depends]) -> Frontend:
        """The same below a router's `prefix`, guarded by that router's dependencies, too."""
        every = (*dependencies, *self.dependencies)
        return Frontend(f"{prefix}{self.prefix}" or "/", self.guard.files, every)

    def serve_in(self, app: Any) -> None:
        """Guards the files by the dependencies of `app` and of the routers.

        Raises: TypeError when one of them can't be called.
        """
        self.guard.put_behind(app, self.dependencies)

    def changes(self, dependencies: Dependencies) -> list[Change]:
        """What overrides of the app's change.

        Raises: TypeError when an override's signature can't be planned.
        """
        router = self.guard.router
        return [] if router is None else dependencies.changes(router.table, router.http_routes)


class _Guard:
    """The files as an ASGI app. Exceptions of dependencies are the outer app's to answer."""

    def __init__(self, files: FrontendFiles) -> None:
        self.files = files
        self.router: Any = None
        self._app: Any = None

    def put_behind(self, app: Any, own: Sequence[Depends]) -> None:
        if not own and not app.dependencies.everywhere:
            return
        self._app = app
        self.router = router_makers[0](())
        self.router._dependencies = app.dependencies
        self.router._errors = _Nothing()
        self.router.add_api_route(
            "/{path:path}",
            self._respond,
            methods=EVERY_METHOD,
            dependencies=list(own),
            response_model=None,
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if self.router is None or scope["type"] != "http":
            await self.files(scope, receive, send)
            return
        scope.setdefault("app", self._app)
        await side_of(self.router).inside(scope, receive, send)

    async def _respond(self, request: Request, response: Response) -> Response:
        scope = request._scope
        assert scope is not None
        found = await self.files.get_response(self.files.get_path(scope), scope)
        found.raw_headers.extend(response.raw_headers)
        return found


class _Nothing(ErrorHandlers):
    """Handles no exception."""

    def find(self, exc: BaseException) -> Handler | None:
        """None: the exception goes on to the app outside."""
        return None
