"""Pages that show an OpenAPI document: Swagger UI, ReDoc and Scalar.

Their scripts come with Fluvial and are served by the app, so that they work without the network.
All functions take the URLs of other files, too, and `root_path`, the prefix of the app's paths.
"""

from __future__ import annotations

import html
import json
from typing import Any

from ..encoders import jsonable_encoder
from ..responses import HTMLResponse
from ._assets import MISSING, asset, asset_url

__all__ = [
    "get_redoc_html",
    "get_scalar_html",
    "get_swagger_ui_html",
    "get_swagger_ui_oauth2_redirect_html",
    "swagger_ui_default_parameters",
]

# See https://swagger.io/docs/open-source-tools/swagger-ui/usage/configuration/.
swagger_ui_default_parameters: dict[str, Any] = {
    "dom_id": "#swagger-ui",
    "layout": "BaseLayout",
    "deepLinking": True,
    "showExtensions": True,
    "showCommonExtensions": True,
}

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
{head}
</head>
<body>
{body}
</body>
</html>
"""


def get_swagger_ui_html(
    *,
    openapi_url: str,
    title: str,
    swagger_js_url: str | None = None,
    swagger_css_url: str | None = None,
    swagger_favicon_url: str | None = None,
    oauth2_redirect_url: str | None = None,
    init_oauth: dict[str, Any] | None = None,
    swagger_ui_parameters: dict[str, Any] | None = None,
    root_path: str = "",
) -> HTMLResponse:
    """Swagger UI for the document at `openapi_url`.

    `swagger_ui_parameters` are options of Swagger UI's, on top of `swagger_ui_default_parameters`;
    `init_oauth` are those of its initOAuth(). The URLs of its files default to Fluvial's own.
    """
    if swagger_js_url is None and asset("swagger-ui-dist", "swagger-ui-bundle.js") is None:
        return _missing("Swagger UI", openapi_url)
    script = swagger_js_url or root_path + asset_url("swagger-ui-dist", "swagger-ui-bundle.js")
    style = swagger_css_url or root_path + asset_url("swagger-ui-dist", "swagger-ui.css")
    icon = swagger_favicon_url or root_path + asset_url("swagger-ui-dist", "favicon-32x32.png")
    options = [f"url: {_script_text(openapi_url)},"]
    parameters = swagger_ui_default_parameters | (swagger_ui_parameters or {})
    options += [f"{_json(key)}: {_json(value)}," for key, value in parameters.items()]
    if oauth2_redirect_url:
        path = _script_text(oauth2_redirect_url)
        options.append(f"oauth2RedirectUrl: window.location.origin + {path},")
    presets = "SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset"
    lines = ["const ui = SwaggerUIBundle({", *options, f"presets: [{presets}],", "})"]
    if init_oauth:
        lines.append(f"ui.initOAuth({_json(init_oauth)})")
    start = "\n".join(lines)
    return _page(
        title,
        f'<link rel="stylesheet" href="{_attribute(style)}">\n'
        f'<link rel="shortcut icon" href="{_attribute(icon)}">',
        f'<div id="swagger-ui"></div>\n<script src="{_attribute(script)}"></script>\n'
        f"<script>\n{start}\n</script>",
    )


def get_redoc_html(
    *,
    openapi_url: str,
    title: str,
    redoc_js_url: str | None = None,
    redoc_favicon_url: str | None = None,
    with_google_fonts: bool = False,
    root_path: str = "",
) -> HTMLResponse:
    """ReDoc for the document at `openapi_url`.

    `with_google_fonts` loads the fonts that it was designed with from Google; without them it uses
    the system's. The URLs of its files default to Fluvial's own.
    """
    if redoc_js_url is None and asset("redoc", "redoc.standalone.js") is None:
        return _missing("ReDoc", openapi_url)
    script = redoc_js_url or root_path + asset_url("redoc", "redoc.standalone.js")
    icon = redoc_favicon_url or root_path + asset_url("swagger-ui-dist", "favicon-32x32.png")
    families = "family=Montserrat:300,400,700|Roboto:300,400,700"
    fonts = f'<link rel="stylesheet" href="https://fonts.googleapis.com/css?{families}">\n'
    return _page(
        title,
        (fonts if with_google_fonts else "")
        + f'<link rel="shortcut icon" href="{_attribute(icon)}">\n'
        "<style>body { margin: 0; padding: 0; }</style>",
        "<noscript>ReDoc needs JavaScript.</noscript>\n"
        f'<redoc spec-url="{_attribute(openapi_url)}"></redoc>\n'
        f'<script src="{_attribute(script)}"></script>',
    )


def get_scalar_html(
    *,
    openapi_url: str,
    title: str,
    scalar_js_url: str | None = None,
    scalar_favicon_url: str | None = None,
    scalar_parameters: dict[str, Any] | None = None,
    root_path: str = "",
) -> HTMLResponse:
    """Scalar's API reference for the document at `openapi_url`.

    `scalar_parameters` are its options; by default it loads no fonts and sends no telemetry. The
    URLs of its files default to Fluvial's own.
    """
    if scalar_js_url is None and asset("scalar-api-reference", "standalone.js") is None:
        return _missing("Scalar", openapi_url)
    script = scalar_js_url or root_path + asset_url("scalar-api-reference", "standalone.js")
    icon = scalar_favicon_url or root_path + asset_url("swagger-ui-dist", "favicon-32x32.png")
    options = {"url": openapi_url, "withDefaultFonts": False, "telemetry": False}
    options |= {
        "agent": {"disabled": True},
        "mcp": {"disabled": True},
        "showDeveloperTools": "never",
    }
    start = _json(options | (scalar_parameters or {}))
    return _page(
        title,
        f'<link rel="shortcut icon" href="{_attribute(icon)}">',
        f'<div id="app"></div>\n<script src="{_attribute(script)}"></script>\n'
        f"<script>\nScalar.createApiReference('#app', {start})\n</script>",
    )


def get_swagger_ui_oauth2_redirect_html() -> HTMLResponse:
    """The page to which an authorization server sends users of Swagger UI back (RFC 6749)."""
    path = asset("swagger-ui-dist", "oauth2-redirect.js")
    if path is None:
        return _missing("Swagger UI", "")
    script = path.read_text().replace("</", "<\\/")
    return _page("Swagger UI: OAuth2 Redirect", "", f"<script>\n{script}\n</script>")


def _page(title: str, head: str, body: str) -> HTMLResponse:
    return HTMLResponse(_PAGE.format(title=html.escape(title), head=head, body=body))


def _missing(name: str, openapi_url: str) -> HTMLResponse:
    """A page that says why there is no other."""
    link = f'<p>The document is at <a href="{_attribute(openapi_url)}">{html.escape(openapi_url)}'
    body = f"<p>{name} can't be shown: {MISSING}.</p>\n" + (
        f"{link}</a>.</p>" if openapi_url else ""
    )
    page = _page(f"{name} is missing", "", body)
    page.status_code = 503
    return page


def _attribute(text: str) -> str:
    return html.escape(text, quote=True)


def _json(value: Any) -> str:
    """JSON that can't end the <script> it stands in."""
    text = json.dumps(jsonable_encoder(value))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _script_text(text: str) -> str:
    """A string in JavaScript, in single quotes."""
    return "'" + _json(text)[1:-1].replace("'", "\\u0027") + "'"
