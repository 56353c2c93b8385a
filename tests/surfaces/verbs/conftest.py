"""The fixtures of a Django project in this process."""

from tests.ops.conftest import app, database, project

__all__ = ["app", "database", "project"]
