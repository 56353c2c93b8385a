"""Groups errors: equal failures have equal fingerprints, whatever numbers and names their messages carry."""

from __future__ import annotations

import hashlib
import re

__all__ = ["fingerprint", "normalised"]

_FRAME = re.compile(r'^\s*File "(?:.*[/\\])?([^"/\\]+)", line \d+, in (\S+)', re.MULTILINE)
_LAST_FRAMES = 3

# From the most to the least specific: a UUID must be one before its digits are taken for numbers.
_VARYING = (
    (re.compile(r"\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b", re.IGNORECASE), "<uuid>"),
    (re.compile(r"\bhttps?://\S+", re.IGNORECASE), "<url>"),
    (re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.]+\b"), "<email>"),
    (re.compile(r"'[^']*'|\"[^\"]*\""), "<text>"),
    (re.compile(r"\b(?:0x[0-9a-f]+|(?=[0-9a-f]*[0-9])[0-9a-f]{8,})\b", re.IGNORECASE), "<hex>"),
    # 400 to 599 stay: "answered 404" and "answered 503" need different hands.
    (re.compile(r"\b(?![45]\d\d\b)\d+(?:\.\d+)?"), "<n>"),
)


def normalised(message: str) -> str:
    """The first line of an error message without what differs from job to job."""
    line = message.strip().partition("\n")[0][:500]
    for pattern, word in _VARYING:
        line = pattern.sub(word, line)
    return line


def fingerprint(task: str, error_class: str, message: str, traceback: str) -> str:
    """16 hex digits that are equal for the same task, error, place (the last frames) and kind of message."""
    # Line numbers are left out: a comment added above the place is not another error.
    frames = [f"{file}:{function}" for file, function in _FRAME.findall(traceback)][-_LAST_FRAMES:]
    told = "\n".join((task, error_class, normalised(message), *frames))
    return hashlib.sha256(told.encode("utf-8", "replace")).hexdigest()[:16]
