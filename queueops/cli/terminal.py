"""Whether a person looks."""

from __future__ import annotations

import sys
from typing import Literal

__all__ = ["is_terminal"]


def is_terminal(name: Literal["stdin", "stdout", "stderr"]) -> bool:
    """Whether this stream of the process is a terminal."""
    # Looked up at each call: tests and pagers put other streams in place.
    return bool(getattr(sys, name).isatty())
