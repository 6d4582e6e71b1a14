"""What kinds of values the options of routes and routers take."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any

_STATUS = re.compile(r"[1-5]\d\d|[1-5]XX|default", re.IGNORECASE)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_switch(value: Any) -> bool:
    return isinstance(value, int)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_list_of_tags(value: Any) -> bool:
    return _is_list(value) and all(isinstance(tag, (str, Enum)) for tag in value)


def _is_list_of_routes(value: Any) -> bool:
    return _is_list(value) and all(hasattr(route, "path") for route in value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping))


def _is_list_of_dicts(value: Any) -> bool:
    return _is_list(value) and all(map(_is_mapping, value))


def _is_choice(value: Any) -> bool:
    """What pydantic takes for `include` and `exclude`: names, or a mapping of them."""
    return _is_list(value) or _is_mapping(value)


def _is_class(value: Any) -> bool:
    return isinstance(value, type)


_Kind = tuple[Callable[[Any], bool], str]
_TEXT: _Kind = (_is_text, "a str")
_SWITCH: _Kind = (_is_switch, "a bool")
_SIZE: _Kind = (_is_size, "a number of bytes")
_CHOICE: _Kind = (_is_choice, "a set of fields' names, or a dict")
_TEXTS = ("name", "summary", "description", "response_description", "operation_id")
_SWITCHES = ("inline", "cancel_on_disconnect", "deprecated", "include_in_schema")
_MODEL_SWITCHES = ("by_alias", "exclude_unset", "exclude_defaults", "exclude_none")
_KINDS: dict[str, _Kind] = {
    **dict.fromkeys(_TEXTS, _TEXT),
    **dict.fromkeys((*_SWITCHES, "strict_content_type"), _SWITCH),
    **dict.fromkeys([f"response_model_{name}" for name in _MODEL_SWITCHES], _SWITCH),
    **dict.fromkeys(("response_model_include", "response_model_exclude"), _CHOICE),
    **dict.fromkeys(("body_limit", "max_body_size"), _SIZE),
    "tags": (_is_list_of_tags, "a list of str"),
    "callbacks": (_is_list_of_routes, "a list of routes, such as those of an APIRouter"),
    "openapi_extra": (_is_mapping, "a dict"),
    "generate_unique_id_function": (callable, "a function of the route"),
    "route_class_override": (_is_class, "a class of routes"),
    "responses": (_is_mapping, "a dict of statuses and dicts"),
}


_LIST: _Kind = (_is_list, "a list")
_DICT: _Kind = (_is_mapping, "a dict")
_URLS = ("openapi_url", "docs_url", "redoc_url", "scalar_url", "swagger_ui_oauth2_redirect_url")
_APP_TEXTS = ("title", "summary", "description", "version", "terms_of_service", "root_path")
_APP_DICTS = (
    *("contact", "license_info", "openapi_external_docs", "exception_handlers"),
    *("swagger_ui_init_oauth", "swagger_ui_parameters"),
)
_APP_SWITCHES = ("redirect_slashes", "root_path_in_servers", "separate_input_output_schemas")
_APP_KINDS: dict[str, _Kind] = {
    **dict.fromkeys((*_APP_TEXTS, *_URLS), _TEXT),
    **dict.fromkeys(_APP_DICTS, _DICT),
    **dict.fromkeys(_APP_SWITCHES, _SWITCH),
    **dict.fromkeys(("openapi_tags", "servers"), (_is_list_of_dicts, "a list of dicts")),
    **dict.fromkeys(("middleware", "on_startup", "on_shutdown", "routes"), _LIST),
    "webhooks": (lambda value: hasattr(value, "routes"), "an APIRouter"),
}


def check_app_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options, of which those that an app alone has are checked. Raises: TypeError for a value
    of another kind."""
    _check(options, _APP_KINDS, "App()")
    return dict(options)


def _check(options: Mapping[str, Any], kinds: Mapping[str, _Kind], where: str) -> None:
    for name, value in options.items():
        fits, words = kinds.get(name, (None, ""))
        if value is not None and fits is not None and not fits(value):
            raise TypeError(f"{where}: {name} must be {words}, not {value!r}")


def check_option_types(options: Mapping[str, Any], where: str) -> None:
    """Checks the values of options that describe routes, or have one of a few values.

    Raises: TypeError for a value of another kind, in a message for `where`; ValueError for a status
    in `responses` that is none.
    """
    _check(options, _KINDS, where)
    for status, response in (options.get("responses") or {}).items():
        if not _STATUS.fullmatch(str(status)):
            raise ValueError(
                f"{where}: responses has {status!r}, which is no status: write 404, '4XX' or "
                "'default'"
            )
        if not _is_mapping(response):
            raise TypeError(f"{where}: responses[{status!r}] must be a dict, not {response!r}")
