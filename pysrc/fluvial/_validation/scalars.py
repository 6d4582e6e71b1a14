"""Converts single texts and JSON values to int, float, bool, dates …, as pydantic's lax mode does.

Used for values that msgspec, which is stricter and faster, has refused. A conversion here either
accepts the value, or raises Failed with pydantic's message.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from .problems import Failed

T = TypeVar("T")

_INT = re.compile(r"[+-]?\d+(?:_\d+)*(?:\.0*)?\Z", re.ASCII)
_TRUE = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE = frozenset({"0", "off", "f", "false", "n", "no"})
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UUID = re.compile(
    r"(?:urn:uuid:)?(\{)?[0-9a-f]{8}(?:[0-9a-f]{24}|(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?(1)\})\Z",
    re.IGNORECASE,
)
_TIMESTAMP = re.compile(r"[+-]?\d+(?:\.\d+)?\Z", re.ASCII)
_MAX_SECONDS = 20_000_000_000  # a larger timestamp is in milliseconds, as in JavaScript
_DAYS = {"years": 365, "months": 30, "weeks": 7, "days": 1}
_DURATION = re.compile(
    r"(?P<sign>[+-]?)P(?:(?P<years>\d+)Y)?(?:(?P<months>\d+)M)?(?:(?P<weeks>\d+)W)?"
    r"(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?"
    r"(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?\Z",
    re.ASCII,
)
_CLOCK = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<days>\d+) ?d(?:ays?)?,? ?)?"
    r"(?:(?P<hours>\d{1,2}):(?P<minutes>\d\d)(?::(?P<seconds>\d\d(?:\.\d{1,6})?))?)?\Z",
    re.ASCII,
)
_MAX_DIGITS = 4300


def to_int(value: Any) -> int:
    """`value` as an int. Raises: Failed when it isn't a whole number, or has too many digits."""
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _int_from_float(value)
    if isinstance(value, str):
        return _int_from_text(value.strip())
    raise Failed("int_type", "Input should be a valid integer")


def _int_from_float(value: float) -> int:
    if not math.isfinite(value):
        raise Failed("finite_number", "Input should be a finite number")
    if not value.is_integer():
        msg = "Input should be a valid integer, got a number with a fractional part"
        raise Failed("int_from_float", msg)
    return int(value)


def _int_from_text(text: str) -> int:
    if not _INT.match(text):
        msg = "Input should be a valid integer, unable to parse string as an integer"
        raise Failed("int_parsing", msg)
    digits = text.partition(".")[0]
    if len(digits) > _MAX_DIGITS:
        msg = "Unable to parse input string as an integer, exceeded maximum size"
        raise Failed("int_parsing_size", msg)
    return int(digits)


def to_float(value: Any) -> float:
    """`value` as a float. Raises: Failed when it isn't a number, or a text that Python reads as
    one."""
    if isinstance(value, (int, float)):
        try:
            return float(value)
        except OverflowError:
            return math.inf if value > 0 else -math.inf
    if not isinstance(value, str):
        raise Failed("float_type", "Input should be a valid number")
    try:
        return float(value)
    except ValueError:
        msg = "Input should be a valid number, unable to parse string as a number"
        raise Failed("float_parsing", msg) from None


def to_bool(value: Any) -> bool:
    """`value` as a bool. Raises: Failed when it isn't a bool, 0, 1 or a word such as "yes"."""
    if isinstance(value, str):
        word = value.lower()
        if word in _TRUE or word in _FALSE:
            return word in _TRUE
    elif isinstance(value, (int, float)) and value in (0, 1):
        return bool(value)
    elif not isinstance(value, int):
        raise Failed("bool_type", "Input should be a valid boolean")
    raise Failed("bool_parsing", "Input should be a valid boolean, unable to interpret input")


def to_str(value: Any) -> str:
    """Returns `value`. Raises: Failed when it isn't a str."""
    if isinstance(value, str):
        return value
    raise Failed("string_type", "Input should be a valid string")


def to_none(value: Any) -> None:
    """Returns None. Raises: Failed when `value` isn't None."""
    if value is not None:
        raise Failed("none_required", "Input should be None")


def to_bytes(value: Any) -> bytes:
    """A str as its UTF-8 bytes. Raises: Failed when `value` is neither str nor bytes."""
    if isinstance(value, (str, bytes)):
        return value.encode() if isinstance(value, str) else value
    raise Failed("bytes_type", "Input should be a valid bytes")


def to_bytes_from_json(value: Any) -> bytes:
    """Decodes a JSON string as Base64 (RFC 4648 section 4).

    Raises: Failed when `value` isn't a string, or isn't Base64.
    """
    if not isinstance(value, str):
        return to_bytes(value)
    try:
        return base64.b64decode(value, validate=True)
    except ValueError as exc:
        reason = str(exc)
        msg = f"Data should be valid base64: {reason}"
        raise Failed(
            "bytes_invalid_encoding", msg, encoding="base64", encoding_error=reason
        ) from exc


def to_decimal(value: Any) -> Decimal:
    """`value` as a Decimal. Raises: Failed when it isn't a finite number, or a text of one."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        msg = "Decimal input should be an integer, float, string or Decimal object"
        raise Failed("decimal_type", msg)
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise Failed("decimal_parsing", "Input should be a valid decimal") from None
    if not number.is_finite():
        raise Failed("finite_number", "Input should be a finite number")
    return number


def to_uuid(value: Any) -> UUID:
    """`value` as a UUID. Raises: Failed when it isn't a UUID or the text of one."""
    if isinstance(value, UUID):
        return value
    if not isinstance(value, str):
        msg = "UUID input should be a string, bytes or UUID object"
        raise Failed("uuid_type", msg)
    if _UUID.match(value):
        return UUID(value)
    reason = _uuid_fault(value)
    msg = f"Input should be a valid UUID, {reason}"
    raise Failed("uuid_parsing", msg, error=reason)


def _uuid_fault(text: str) -> str:
    for place, char in enumerate(text):
        if char not in "0123456789abcdefABCDEF-":
            return f"invalid character: found `{char}` at {place}"
    groups = text.split("-")
    if len(groups) == 1:
        return f"invalid length: found {len(text)}"
    if len(groups) != 5:
        return f"invalid group count: expected 5, found {len(groups)}"
    for number, (group, size) in enumerate(zip(groups, (8, 4, 4, 4, 12), strict=True)):
        if len(group) != size:
            return f"invalid group length in group {number}: expected {size}, found {len(group)}"
    return f"invalid length: found {len(text)}"


def to_datetime(value: Any) -> datetime:
    """`value` as a datetime. Raises: Failed when it isn't a timestamp or a date, with or without a
    time."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, datetime)):
        raise Failed("datetime_type", "Input should be a valid datetime")
    parsed = _moment(value)
    if parsed is not None:
        return parsed
    reason = _date_fault(value) or "unexpected extra characters at the end of the input"
    msg = f"Input should be a valid datetime or date, {reason}"
    raise Failed("datetime_from_date_parsing", msg, error=reason)


def _moment(value: Any) -> datetime | None:
    """Reads a timestamp in seconds or milliseconds, or a text in the form of RFC 3339 or ISO 8601;
    None if `value` is neither."""
    if isinstance(value, str) and _TIMESTAMP.match(value):
        value = float(value)
    if isinstance(value, (int, float)) and abs(value) > _MAX_SECONDS:
        value = value / 1000
    return _by_msgspec(value, datetime) or _from_iso(value, datetime.fromisoformat)


def to_date(value: Any) -> date:
    """`value` as a date. Raises: Failed when it isn't one, or has a time other than midnight."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, date)):
        raise Failed("date_type", "Input should be a valid date")
    parsed = _by_msgspec(value, date)
    if parsed is not None:
        return parsed
    moment = _moment(value)
    if moment is None:
        reason = _date_fault(value) or _time_fault(str(value)[11:])
        msg = f"Input should be a valid date or datetime, {reason}"
        raise Failed("date_from_datetime_parsing", msg, error=reason)
    if moment.time() != time():
        msg = "Datetimes provided to dates should have zero time - e.g. be exact dates"
        raise Failed("date_from_datetime_inexact", msg)
    return moment.date()


def to_time(value: Any) -> time:
    """`value` as a time. Raises: Failed when it isn't a time of day or the text of one."""
    if isinstance(value, time):
        return value
    if not isinstance(value, str):
        raise Failed("time_type", "Input should be a valid time")
    parsed = _by_msgspec(value, time)
    if parsed is None and ":" in value:
        parsed = _attempt(time.fromisoformat, value)
    if parsed is not None:
        return parsed
    reason = _time_fault(value)
    msg = f"Input should be in a valid time format, {reason}"
    raise Failed("time_parsing", msg, error=reason)


def _time_fault(text: str) -> str:
    if len(text) < 5:
        return "input is too short"
    if not text[:2].isdecimal():
        return "invalid character in hour"
    if text[2] != ":":
        return "invalid time separator, expected `:`"
    for name, digits, most in (("hour", text[:2], 23), ("minute", text[3:5], 59)):
        if digits.isdecimal() and int(digits) > most:
            return f"{name} value is outside expected range of 0-{most}"
    return "unexpected extra characters at the end of the input"


def to_timedelta(value: Any) -> timedelta:
    """`value` as a timedelta. Raises: Failed when it isn't a number of seconds or a duration."""
    if isinstance(value, timedelta):
        return value
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise Failed("time_delta_type", "Input should be a valid timedelta")
    parsed = _by_msgspec(value, timedelta)
    if parsed is None and isinstance(value, str):
        parsed = _from_duration(value) or _from_clock(value)
    if parsed is not None:
        return parsed
    reason = "input is too short" if value == "" else "invalid digit in duration"
    msg = f"Input should be a valid timedelta, {reason}"
    raise Failed("time_delta_parsing", msg, error=reason)


def _from_duration(text: str) -> timedelta | None:
    """Reads an ISO 8601 duration with years and months, which msgspec refuses because their length
    depends on the calendar. Here a year has 365 days and a month 30."""
    match = _DURATION.match(text.strip())
    if match is None:
        return None
    days = sum(int(match[name] or 0) * count for name, count in _DAYS.items())
    parts = {name: float(match[name] or 0) for name in ("hours", "minutes", "seconds")}
    duration = _attempt(lambda: timedelta(days=days, **parts))
    return -duration if duration is not None and match["sign"] == "-" else duration


def _from_clock(text: str) -> timedelta | None:
    """Reads a duration such as "1 day, 02:03:04.5"."""
    match = _CLOCK.match(text.strip())
    if match is None or match["days"] is None is match["hours"]:
        return None
    parts = {name: float(match[name] or 0) for name in ("days", "hours", "minutes", "seconds")}
    duration = timedelta(**parts)
    return -duration if match["sign"] == "-" else duration


def _by_msgspec(value: Any, kind: type[T]) -> T | None:
    return _attempt(lambda: msgspec.convert(value, kind, strict=False))


def _from_iso(value: Any, parse: Callable[[str], T]) -> T | None:
    """Reads ISO 8601 as Python does, but only its extended form: digits alone are a timestamp."""
    if not isinstance(value, str) or not _DATE.match(value):
        return None
    return _attempt(parse, value.replace("_", "T", 1))


def _attempt(func: Callable[..., T], *args: Any) -> T | None:
    try:
        return func(*args)
    except (ValueError, OverflowError):
        return None


def _date_fault(value: Any) -> str | None:
    """What is wrong with the date at the start of `value`; None if nothing is."""
    if not isinstance(value, str):
        return "the timestamp is out of range"
    if len(value) < 10:
        return "input is too short"
    for name, begin, end in (("year", 0, 4), ("month", 5, 7), ("day", 8, 10)):
        digits = value[begin:end]
        if not (digits.isascii() and digits.isdecimal()):
            return f"invalid character in {name}"
        if value[end : end + 1] not in ("-", "") and end < 10:
            return "invalid date separator, expected `-`"
    if not 1 <= int(value[5:7]) <= 12:
        return "month value is outside expected range of 1-12"
    if _attempt(date.fromisoformat, value[:10]) is None:
        return "day value is outside expected range"
    return None
