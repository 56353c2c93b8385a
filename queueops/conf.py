"""Every setting of queueops, read late: Django's `settings.QUEUEOPS`, then the environment over it.

Nothing is read at import. What there is to set is in `queueops/engine/rules/settings.py`.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from queueops.engine.rules.settings import Config, QueueConfig, load

__all__ = ["Config", "QueueConfig", "config", "load", "reset"]


@dataclass(frozen=True, slots=True)
class _Read:
    """What `config()` was made from, to see in well under a microsecond whether it still holds."""

    lazy: dict[str, Any]
    wrapped: Any
    own: Any
    policies: Any
    config: Config


_read: _Read | None = None
#: Stands for Django's settings in a process that does not use Django.
_NO_DJANGO: dict[str, Any] = {}


def config() -> Config:
    """Return the current configuration; cheap while `settings.QUEUEOPS` stays the same object.

    Raises:
        ConfigurationError: a setting is unknown or has a value that is not allowed.
    """
    read = _read
    # Identity, not equality: `override_settings` puts another object in place, and comparing the dicts
    # would cost more than all the rest of a publish.
    if (
        read is not None
        and read.lazy.get("_wrapped") is read.wrapped
        and getattr(read.wrapped, "QUEUEOPS", None) is read.own
        and (read.lazy is not _NO_DJANGO or "django.conf" not in sys.modules)
    ):
        return read.config
    return _read_settings(read)


def reset() -> None:
    """Forget what was read, so that the next `config()` reads settings and environment again."""
    global _read
    _read = None


def _read_settings(before: _Read | None) -> Config:
    global _read
    lazy = _django_settings()
    wrapped = lazy.get("_wrapped")
    own = getattr(wrapped, "QUEUEOPS", None)
    policies = getattr(wrapped, "JOB_RETRY_POLICIES", None)
    # Another settings object with the same two dicts, as under an override of something else.
    same = before is not None and before.own is own and before.policies is policies
    fresh = before.config if before is not None and same else load(own, policies, os.environ)
    _read = _Read(lazy, wrapped, own, policies, fresh)
    return fresh


def _django_settings() -> dict[str, Any]:
    # A project without Django never imports it; one with DJANGO_SETTINGS_MODULE has settings to read.
    named = "DJANGO_SETTINGS_MODULE" in os.environ
    module: Any = sys.modules.get("django.conf") or (import_module("django.conf") if named else None)
    if module is None:
        return _NO_DJANGO
    if named and not module.settings.configured:
        module.settings._setup()
    # The instance's own dict: reading an attribute of the lazy object costs microseconds.
    found: dict[str, Any] = object.__getattribute__(module.settings, "__dict__")
    return found
