"""All routes as a table, for docs/api.md: `python -m queueops.api.reference` in a configured project."""

from __future__ import annotations

from collections.abc import Iterator

import django

__all__ = ["lines"]


def lines() -> Iterator[str]:
    """The lines of the table: a heading for each subject, then method, path, scope and what it does."""
    from queueops.api.app import api

    subject = ""
    for path, item in api.get_openapi_schema(path_prefix="")["paths"].items():
        for method, operation in item.items():
            if operation["tags"][0] != subject:
                subject = operation["tags"][0]
                yield from ("", f"### {subject.capitalize()}", "")
                yield from ("| route | scope | what it does |", "|---|---|---|")
            route, told = f"{method.upper()} {path.lstrip('/')}", operation["summary"]
            yield f"| `{route}` | {operation['x-scope']} | {told} |"


if __name__ == "__main__":
    django.setup()
    print("\n".join(lines()))
