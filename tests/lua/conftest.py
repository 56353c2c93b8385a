"""The engine's tests by script use the same world."""

from tests.engine.conftest import world  # noqa: F401
