"""An App's OpenAPI document, and the routes that serve it and its pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import _core
from .._application.routes import Route
from .._calling.callables import is_async
from ..responses import HTMLResponse, JSONResponse, Response
from ._assets import PREFIX, asset_response

if TYPE_CHECKING:
    from .._application.route_list import RouteList
    from ..requests import Request
    from ..routing import APIRouter

Json = dict[str, Any]

# The parameters of App() that become attributes of the app unchanged.
DESCRIPTION = (
    *("title", "summary", "description", "version", "openapi_url", "openapi_tags", "docs_url"),
    *("redoc_url", "scalar_url", "swagger_ui_oauth2_redirect_url", "swagger_ui_init_oauth"),
    *("swagger_ui_parameters", "terms_of_service", "contact", "license_info", "root_path"),
    *("root_path_in_servers", "separate_input_output_schemas", "openapi_external_docs"),
)


class Documented:
    """An app's document and its pages; `App` has the attributes' meanings."""

    title: str
    version: str
    summary: str | None
    description: str
    openapi_url: str | None
    docs_url: str | None
    redoc_url: str | None
    scalar_url: str | None
    openapi_tags: list[Json] | None
    servers: list[Json]
    terms_of_service: str | None
    contact: Json | None
    license_info: Json | None
    openapi_external_docs: Json | None
    separate_input_output_schemas: bool
    swagger_ui_parameters: Json | None
    swagger_ui_init_oauth: Json | None
    swagger_ui_oauth2_redirect_url: str | None
    root_path: str
    root_path_in_servers: bool
    _route_list: RouteList
    _http_routes: list[Route]
    webhooks: APIRouter
    openapi_version = "3.1.0"
    openapi_schema: Json | None = None
    _router: _core.Router
    _documented: tuple[int, int] = (0, 0)  # how many routes and webhooks the document has

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, made when it is first asked for and after new routes.

        It is kept in `openapi_schema`, and may be changed there. To make it differently, assign a
        function to `app.openapi`.
        """
        known = (len(self._http_routes), len(self.webhooks.routes))
        if not self.openapi_schema or self._documented != known:
            self._documented = known
            self.openapi_schema = self._make_document()
        return self.openapi_schema

    def _make_document(self) -> Json:
        from .utils import get_openapi  # imports pydantic

        return get_openapi(
            title=self.title,
            version=self.version,
            openapi_version=self.openapi_version,
            summary=self.summary,
            description=self.description,
            terms_of_service=self.terms_of_service,
            contact=self.contact,
            license_info=self.license_info,
            routes=self._http_routes,
            webhooks=self.webhooks.routes,
            tags=self.openapi_tags,
            servers=self.servers,
            separate_input_output_schemas=self.separate_input_output_schemas,
            external_docs=self.openapi_external_docs,
        )

    def _add_pages(self) -> None:
        """Adds the routes of the document and its pages; none without `openapi_url`."""
        if not self.openapi_url:
            return
        self._add_page(self.openapi_url, self._serve_document, "openapi")
        if self.docs_url:
            self._add_page(self.docs_url, self._serve_swagger_ui, "swagger_ui_html")
            if self.swagger_ui_oauth2_redirect_url:
                path = self.swagger_ui_oauth2_redirect_url
                self._add_page(path, self._serve_oauth2_redirect, "swagger_ui_redirect")
        if self.redoc_url:
            self._add_page(self.redoc_url, self._serve_redoc, "redoc_html")
        if self.scalar_url:
            self._add_page(self.scalar_url, self._serve_scalar, "scalar_html")
        self._add_assets()

    def _add_assets(self) -> None:
        if self.openapi_url:
            self._plan_page(PREFIX + "/{package}/{name}", self._serve_asset, "docs_assets")

    def _add_page(self, path: str, endpoint: Callable[..., Any], name: str) -> None:
        route = self._plan_page(path, endpoint, name)
        self._http_routes.append(route)
        self._route_list.note(route)

    def _plan_page(self, path: str, endpoint: Callable[..., Any], name: str) -> Route:
        """A route whose endpoint takes only the request. All apps have such routes, so no signature
        is read for them."""
        route = Route(path, endpoint, name=name, include_in_schema=False)
        kind = _core.TASK if is_async(endpoint) else _core.POOL
        request = (_core.Param(_core.REQUEST, "request", "request"),)
        route.plan = _core.Plan(endpoint, kind=kind, params=request, info=route)
        self._router.add(route.given_methods, path, route.plan)
        return route

    # ---- the pages -------------------------------------------------------------------------

    def _serve_document(self, request: Request) -> Response:
        document = self.openapi()
        root = self._root(request)
        if root and self.root_path_in_servers:
            servers = document.get("servers", [])
            if root not in [server.get("url") for server in servers]:
                document = {**document, "servers": [{"url": root}, *servers]}
        return JSONResponse(document)

    async def _serve_swagger_ui(self, request: Request) -> HTMLResponse:
        from . import docs

        root, redirect = self._root(request), self.swagger_ui_oauth2_redirect_url
        return docs.get_swagger_ui_html(
            openapi_url=f"{root}{self.openapi_url}",
            title=f"{self.title} - Swagger UI",
            oauth2_redirect_url=root + redirect if redirect else redirect,
            init_oauth=self.swagger_ui_init_oauth,
            swagger_ui_parameters=self.swagger_ui_parameters,
            root_path=root,
        )

    async def _serve_oauth2_redirect(self, _: Request) -> HTMLResponse:
        from . import docs

        return docs.get_swagger_ui_oauth2_redirect_html()

    async def _serve_redoc(self, request: Request) -> HTMLResponse:
        from . import docs

        root = self._root(request)
        return docs.get_redoc_html(
            openapi_url=f"{root}{self.openapi_url}", title=f"{self.title} - ReDoc", root_path=root
        )

    async def _serve_scalar(self, request: Request) -> HTMLResponse:
        from . import docs

        root = self._root(request)
        return docs.get_scalar_html(
            openapi_url=f"{root}{self.openapi_url}", title=f"{self.title} - Scalar", root_path=root
        )

    async def _serve_asset(self, request: Request) -> Response:
        return asset_response(**request.path_params)

    def _root(self, request: Request) -> str:
        """The prefix of the app's paths, without a slash at its end."""
        root: str = request.scope.get("root_path") or self.root_path
        return root.rstrip("/")
