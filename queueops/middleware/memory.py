"""How much memory a worker takes."""

from __future__ import annotations

import psutil

__all__ = ["resident_bytes"]


def resident_bytes() -> int | None:
    """Resident bytes of this process and of all its children; None where the system does not say.

    Pages that a child still shares with its parent count for both.
    """
    try:
        process = psutil.Process()
        total = process.memory_info().rss
        children = process.children(recursive=True)
    except (psutil.Error, OSError):
        return None
    for child in children:
        try:
            total += child.memory_info().rss
        except (psutil.Error, OSError):
            continue  # it has just ended
    return int(total)
