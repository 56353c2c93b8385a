"""Waiting for a condition: the only way tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.03


def eventually(condition: Callable[[], T], *, within: float, what: str = "") -> T:
    """Return the first true answer of ``condition``, asked again until ``within`` seconds have passed.

    A condition that raises AssertionError counts as not true yet, so that it may hold asserts of its own, and
    so does one that looks up or unpacks what is not there yet (LookupError, ValueError); the last of them is
    the cause of the failure. ``what`` says in words what was waited for.
    """
    deadline = time.monotonic() + within
    while True:
        failed: Exception | None = None
        answer: T | None = None
        try:
            answer = condition()
        except (AssertionError, LookupError, ValueError) as error:
            failed = error
        if answer:
            return answer
        if time.monotonic() > deadline:
            wanted = what or getattr(condition, "__name__", "condition")
            raise AssertionError(
                f"not within {within:g} s: {wanted}; the last answer was {answer!r}"
            ) from failed
        time.sleep(POLL_SECONDS)


def stays(condition: Callable[[], object], *, during: float, what: str = "") -> None:
    """Fail as soon as ``condition`` is false once within ``during`` seconds: for what must not happen."""
    deadline = time.monotonic() + during
    while time.monotonic() < deadline:
        answer = condition()
        assert answer, f"did not stay so for {during:g} s: {what or condition}; the answer was {answer!r}"
        time.sleep(POLL_SECONDS)
