"""What programs import from FastAPI and Starlette exists in our modules of the same names, too, so
that a program moves by changing its imports."""

import importlib
from typing import Annotated, Any, TypeVar, get_args

import pytest
from fluvial import App, Depends, Query
from fluvial._validation.annotations import strip_alias
from fluvial.testclient import TestClient
from typing_extensions import TypeAliasType

NAMES = {
    "applications": "FastAPI Starlette",
    "background": "BackgroundTask BackgroundTasks",
    "concurrency": "run_in_threadpool iterate_in_threadpool contextmanager_in_threadpool",
    "datastructures": "URL Headers QueryParams State UploadFile Secret FormData MutableHeaders",
    "encoders": "jsonable_encoder",
    "exception_handlers": (
        "http_exception_handler request_validation_exception_handler "
        "websocket_request_validation_exception_handler"
    ),
    "exceptions": (
        "HTTPException RequestValidationError ResponseValidationError FastAPIError "
        "ValidationException WebSocketException WebSocketRequestValidationError"
    ),
    "logger": "logger",
    "param_functions": "Body Cookie Depends File Form Header Path Query Security",
    "responses": (
        "FileResponse HTMLResponse JSONResponse ORJSONResponse PlainTextResponse "
        "RedirectResponse Response StreamingResponse UJSONResponse"
    ),
    "routing": (
        "APIRoute APIRouter APIWebSocketRoute BaseRoute Host Match Mount NoMatchFound Route Router "
        "WebSocketRoute request_response websocket_session"
    ),
    "types": "ASGIApp DecoratedCallable Lifespan Message Receive Scope Send",
}


@pytest.mark.parametrize("module", NAMES)
def test_names(module: str) -> None:
    ours = importlib.import_module(f"fluvial.{module}")
    assert [name for name in NAMES[module].split() if not hasattr(ours, name)] == []


def test_what_does_not_exist_is_an_attribute_error() -> None:
    for module in ("routing", "applications"):
        with pytest.raises(AttributeError, match=f"module 'fluvial.{module}' has no attribute 'x'"):
            importlib.import_module(f"fluvial.{module}").x  # noqa: B018


T, K, V = TypeVar("T"), TypeVar("K"), TypeVar("V")
Given = TypeAliasType("Given", Annotated[int, Depends(lambda: 5)])
Named = TypeAliasType("Named", Annotated[T, Query(alias="name")], type_params=(T,))
Many = TypeAliasType("Many", list[T], type_params=(T,))


def test_type_aliases_of_typing_extensions() -> None:
    app = App()

    @app.get("/")
    def read(given: Given, named: Named[int], many: Annotated[Many[int], Query()]) -> Any:
        return [given, named, many]

    assert TestClient(app).get("/?name=3&many=4").json() == [5, 3, [4]]


Flipped = TypeAliasType("Flipped", dict[V, Annotated[K, Query(alias="of k")]], type_params=(K, V))
Itself = TypeAliasType("Itself", T, type_params=(T,))
Unused = TypeAliasType("Unused", int, type_params=(T,))


def test_the_arguments_of_an_alias_are_those_of_its_parameters() -> None:
    key, value = get_args(strip_alias(Flipped[int, str]))
    assert (key, get_args(value)[0]) == (str, int)
    app = App()

    @app.get("/")
    def read(itself: Itself[int], unused: Unused[str]) -> list[int]:
        return [itself, unused]

    assert TestClient(app).get("/?itself=1&unused=2").json() == [1, 2]
