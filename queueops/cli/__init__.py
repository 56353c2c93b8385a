"""The command line: `python manage.py queueops`, `celery -A PROJECT queueops`, `queueops`.

Celery loads this in every one of its processes, workers included, so it imports click and nothing else of
weight; Django is set up, and the commands of a group are imported, when one of them is called.
"""

from __future__ import annotations

from queueops.cli.root import main, root

__all__ = ["main", "root"]
