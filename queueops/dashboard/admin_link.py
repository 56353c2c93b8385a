"""The way from admin's first page to the dashboard."""

from __future__ import annotations

from django.contrib import admin

__all__ = ["install"]


def install() -> None:
    """Give admin's first page a link, unless the project has a template of its own for it."""
    if admin.site.index_template is None:
        admin.site.index_template = "queueops/dashboard/admin_index.html"
