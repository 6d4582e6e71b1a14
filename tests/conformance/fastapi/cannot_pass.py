"""Tests of the tutorial that can't pass, each with the reason."""

from __future__ import annotations

_ISO = "a timedelta outside of models is ISO 8601, and UTC is written Z, as inside of models"
_SPANS = "FastAPI's own spans of its inner steps, which do not exist here"
_REASONS = {
    "test_behind_a_proxy/test_tutorial001_01.py::test_redirect": (
        "a redirect that adds a slash is relative (ADR 4)"
    ),
    "test_body/test_tutorial001.py::test_other_exceptions[tutorial001]": (
        "it replaces json.loads by a function that fails, which nothing here calls"
    ),
    "test_extra_data_types/test_tutorial001.py::test_extra_types[tutorial001]": _ISO,
    "test_extra_data_types/test_tutorial001.py::test_extra_types[tutorial001_non_an]": _ISO,
    "test_opentelemetry/test_tutorial002.py::test_console_provider_example": _SPANS,
    "test_opentelemetry/test_tutorial003.py::test_disable_operation_spans_example": _SPANS,
}
TESTS = {f"tests/test_tutorial/{name}": reason for name, reason in _REASONS.items()}
