"""QUEUEOPS["ALERTS"]: when somebody is told that something is wrong, and how."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from queueops.engine.rules import values

__all__ = ["AlertSettings", "alert_settings"]


@dataclass(frozen=True, slots=True)
class AlertSettings:
    """Alerts are on when `mail` or `webhook` says where they go. Minutes may be fractions; 0 is at once.

    Attributes:
        mail: addresses, for Django's mail.
        webhook: URL that gets each notice as JSON by POST.
        unhealthy_minutes: a queue is told of that has been unhealthy for so long.
        dead_letters: so many new dead letters of a queue within `dead_letter_minutes` are a spike.
        no_worker_minutes: a queue with jobs is told of that no live worker has served for so long.
        broker_minutes: the broker is told of that has not answered for so long.
        clear_minutes: what was wrong is over when it has been right for so long; until then it is the same
            trouble, and nobody is told again.
    """

    mail: tuple[str, ...] = ()
    webhook: str = ""
    unhealthy_minutes: float = 5.0
    dead_letters: int = 50
    dead_letter_minutes: float = 10.0
    no_worker_minutes: float = 2.0
    broker_minutes: float = 1.0
    clear_minutes: float = 2.0

    @property
    def are_on(self) -> bool:
        """Whether anybody is to be told."""
        return bool(self.mail or self.webhook)


_MINUTES = values.number(0, equal=True)
_FIELDS: Mapping[str, Callable[[Any], Any]] = {
    "mail": values.strings,
    "webhook": values.text,
    "unhealthy_minutes": _MINUTES,
    "dead_letters": values.whole(1),
    "dead_letter_minutes": values.number(0),
    "no_worker_minutes": _MINUTES,
    "broker_minutes": _MINUTES,
    "clear_minutes": _MINUTES,
}


def alert_settings(value: Any) -> AlertSettings:
    """What a dict of these fields says.

    Raises:
        ValueError: it is no dict, or a value is not allowed; the text says what is wanted.
        ConfigurationError: an unknown field.
    """
    given = values.mapping(value)
    values.refuse_unknown(given, tuple(_FIELDS), 'QUEUEOPS["ALERTS"]["{}"]')
    return AlertSettings(
        **{
            name: values.parsed(f'QUEUEOPS["ALERTS"]["{name}"]', _FIELDS[name], one)
            for name, one in given.items()
        }
    )
