"""Objects of OpenAPI 3.1 as pydantic models, for those who write parts of a document themselves.

Their fields are those of the specification (section 4.8), and others are kept. Where Fluvial takes
such an object, as `OAuth2(flows=...)` does, it takes a dict, too.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic asks for it before Python 3.12

__all__ = [
    "APIKey",
    "APIKeyIn",
    "Contact",
    "Example",
    "ExternalDocumentation",
    "HTTPBase",
    "HTTPBearer",
    "Info",
    "License",
    "OAuth2",
    "OAuthFlow",
    "OAuthFlowAuthorizationCode",
    "OAuthFlowClientCredentials",
    "OAuthFlowImplicit",
    "OAuthFlowPassword",
    "OAuthFlows",
    "OpenIdConnect",
    "SecurityBase",
    "SecurityScheme",
    "SecuritySchemeType",
    "Server",
    "ServerVariable",
    "Tag",
]


class _Object(BaseModel):
    """What all have in common: extensions and fields of later versions are kept."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)


class Contact(_Object):
    """Contact Object, section 4.8.3."""

    name: str | None = None
    url: str | None = None
    email: str | None = None


class License(_Object):
    """License Object, section 4.8.4."""

    name: str
    identifier: str | None = None
    url: str | None = None


class Info(_Object):
    """Info Object, section 4.8.2."""

    title: str
    summary: str | None = None
    description: str | None = None
    termsOfService: str | None = None
    contact: Contact | None = None
    license: License | None = None
    version: str


class ServerVariable(_Object):
    """Server Variable Object, section 4.8.6."""

    enum: list[str] | None = Field(None, min_length=1)
    default: str
    description: str | None = None


class Server(_Object):
    """Server Object, section 4.8.5."""

    url: str
    description: str | None = None
    variables: dict[str, ServerVariable] | None = None


class ExternalDocumentation(_Object):
    """External Documentation Object, section 4.8.11."""

    description: str | None = None
    url: str


class Tag(_Object):
    """Tag Object, section 4.8.22."""

    name: str
    description: str | None = None
    externalDocs: ExternalDocumentation | None = None


class Example(TypedDict, total=False):
    """Example Object, section 4.8.19: what `openapi_examples` has by name."""

    summary: str | None
    description: str | None
    value: Any
    externalValue: str | None


# ---- Security Scheme Object, section 4.8.27 -------------------------------------------------


class SecuritySchemeType(Enum):
    """The kinds of schemes."""

    apiKey = "apiKey"
    http = "http"
    oauth2 = "oauth2"
    openIdConnect = "openIdConnect"


class SecurityBase(_Object):
    """A scheme of any kind."""

    type_: SecuritySchemeType = Field(alias="type")
    description: str | None = None


class APIKeyIn(Enum):
    """Where an API key is sent."""

    query = "query"
    header = "header"
    cookie = "cookie"


class APIKey(SecurityBase):
    """A key in the query, a header field or a cookie."""

    type_: SecuritySchemeType = Field(SecuritySchemeType.apiKey, alias="type")
    in_: APIKeyIn = Field(alias="in")
    name: str


class HTTPBase(SecurityBase):
    """A scheme of HTTP authentication."""

    type_: SecuritySchemeType = Field(SecuritySchemeType.http, alias="type")
    scheme: str


class HTTPBearer(HTTPBase):
    """A bearer token (RFC 6750)."""

    scheme: str = "bearer"
    bearerFormat: str | None = None


class OAuthFlow(_Object):
    """OAuth Flow Object, section 4.8.29."""

    refreshUrl: str | None = None
    scopes: dict[str, str] = {}


class OAuthFlowImplicit(OAuthFlow):
    """RFC 6749 section 4.2."""

    authorizationUrl: str


class OAuthFlowPassword(OAuthFlow):
    """RFC 6749 section 4.3."""

    tokenUrl: str


class OAuthFlowClientCredentials(OAuthFlow):
    """RFC 6749 section 4.4."""

    tokenUrl: str


class OAuthFlowAuthorizationCode(OAuthFlow):
    """RFC 6749 section 4.1."""

    authorizationUrl: str
    tokenUrl: str


class OAuthFlows(_Object):
    """OAuth Flows Object, section 4.8.28."""

    implicit: OAuthFlowImplicit | None = None
    password: OAuthFlowPassword | None = None
    clientCredentials: OAuthFlowClientCredentials | None = None
    authorizationCode: OAuthFlowAuthorizationCode | None = None


class OAuth2(SecurityBase):
    """OAuth 2.0."""

    type_: SecuritySchemeType = Field(SecuritySchemeType.oauth2, alias="type")
    flows: OAuthFlows


class OpenIdConnect(SecurityBase):
    """OpenID Connect Discovery."""

    type_: SecuritySchemeType = Field(SecuritySchemeType.openIdConnect, alias="type")
    openIdConnectUrl: str


SecurityScheme = APIKey | HTTPBase | OAuth2 | OpenIdConnect | HTTPBearer
