"""Which addresses a webhook may reach, with refusals that a delivery understands: nothing mends them.

An endpoint's URL is chosen by a customer. Without this check it could name the broker, the database or a
cloud's metadata service, and the response excerpt would show what they answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from queueops import errors
from queueops.ops import addresses
from queueops.ops.addresses import Address, refusal
from tasks.failures import AddressRefused

__all__ = ["check_url", "checked_addresses", "refusal"]


def check_url(url: str, *, allow_private: bool = False) -> None:
    """As `queueops.ops.addresses.check_url`; raises the AddressRefused of deliveries."""
    with _permanent():
        addresses.check_url(url, allow_private=allow_private)


def checked_addresses(host: str, port: int, *, timeout: float, allow_private: bool = False) -> list[Address]:
    """As `queueops.ops.addresses.checked_addresses`; raises the AddressRefused of deliveries."""
    with _permanent():
        return addresses.checked_addresses(host, port, timeout=timeout, allow_private=allow_private)


@contextmanager
def _permanent() -> Iterator[None]:
    try:
        yield
    except errors.AddressRefused as error:
        raise AddressRefused(str(error)) from error
