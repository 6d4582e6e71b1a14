"""fluvial.status beside starlette.status and the standard library."""

from __future__ import annotations

import http

from fluvial import status
from starlette import status as theirs


def test_every_name_of_starlettes_is_there_and_means_the_same() -> None:
    known = {*theirs.__all__, *theirs.__deprecated__}
    expected = {**theirs.__deprecated__, **{name: getattr(theirs, name) for name in theirs.__all__}}
    assert known == set(status.__all__)
    assert {name: getattr(status, name) for name in status.__all__} == expected


def test_every_status_of_the_standard_library_has_a_name() -> None:
    named = {value for name, value in vars(status).items() if name.startswith("HTTP_")}
    assert {member.value for member in http.HTTPStatus} <= named
