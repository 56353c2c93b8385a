"""Types of what callers send: each says in the OpenAPI page what it takes, and takes nothing else."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from ninja import Path, Query, Schema
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from queueops.api.problems import MomentRefused

__all__ = [
    "INTEGRAL",
    "Body",
    "Flag",
    "IdPath",
    "Ids",
    "MaybeName",
    "Moment",
    "Name",
    "NameFilter",
    "NamePath",
    "Number",
    "Reason",
    "Seconds",
    "TaskId",
    "TaskIds",
    "TaskPath",
    "Text",
    "TextFilter",
    "Whole",
]

#: JSON and PostgreSQL know no NUL in a text, and a path no slash.
_NO_NUL = r"^[^\x00]*$"
#: What JSON numbers hold exactly everywhere.
_LARGEST = 2**53 - 1
_LONGEST_SECONDS = 366 * 86_400


class Body(Schema):
    """A request's body: a name that is not known is refused, not passed over."""

    model_config = ConfigDict(extra="forbid")


_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _rfc3339(value: Any) -> Any:
    # Pydantic would also take numbers, and dates without a time.
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise PydanticCustomError("moment", "Input should be a time as 2026-01-31T12:00:00Z")
    if value.startswith("0000"):
        raise MomentRefused()
    # A leap second; no clock of ours has one.
    return f"{value[:17]}59{value[19:]}" if value[17:19] == "60" else value


def _in_reach(value: datetime) -> datetime:
    # Beyond these a time zone's offset leads out of what databases and Python can hold.
    if not 1970 <= value.year <= 9998:
        raise MomentRefused()
    return value.astimezone(UTC)


def _whole(value: Any) -> Any:
    # JSON has one kind of number: 5.0 is 5.
    return int(value) if isinstance(value, float) and value.is_integer() else value


#: Comes last in a type of its own bounds: `Annotated[int, Field(strict=True, ge=1), INTEGRAL]`.
INTEGRAL = BeforeValidator(_whole)


def _seconds(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LONGEST_SECONDS:
        raise PydanticCustomError("seconds", "Input should be seconds, above 0 and at most a year")
    return timedelta(seconds=value)


NAME = r"^[A-Za-z0-9._@-]{1,128}$"
Name = Annotated[str, Field(pattern=NAME, max_length=128)]
#: A name, or nothing.
MaybeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9._@-]{0,128}$", max_length=128)]
NamePath = Annotated[str, Path(..., pattern=NAME, max_length=128)]
NameFilter = Annotated[str, Query("", pattern=r"^[A-Za-z0-9._@-]{0,128}$", max_length=128)]
Text = Annotated[str, Field(pattern=_NO_NUL, max_length=255)]
TextFilter = Annotated[str, Query("", pattern=_NO_NUL, max_length=255)]
Reason = Annotated[str, Field(pattern=_NO_NUL, max_length=200)]
TaskId = Annotated[str, Path(..., pattern=r"^[^\x00/]+$", min_length=1, max_length=255)]
TaskPath = TaskId
TaskIds = Annotated[
    list[Annotated[str, Field(pattern=_NO_NUL, min_length=1, max_length=255)]],
    Field(min_length=1, max_length=1000),
]
IdPath = Annotated[int, Path(..., ge=1, le=_LARGEST)]
Ids = Annotated[
    list[Annotated[int, Field(strict=True, ge=1, le=_LARGEST), INTEGRAL]],
    Field(min_length=1, max_length=10_000),
]
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True, ge=-(2**31), lt=2**31), INTEGRAL]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Moment = Annotated[datetime, BeforeValidator(_rfc3339), AfterValidator(_in_reach)]
Seconds = Annotated[
    timedelta,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": "number", "exclusiveMinimum": 0, "maximum": _LONGEST_SECONDS}),
]
