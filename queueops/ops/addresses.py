"""Which addresses a webhook may reach: the public internet, never the network this process stands in.

Whoever may write a URL could otherwise name the broker, the database or a cloud's metadata service.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from queueops.errors import AddressRefused

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Where IPv6 addresses of the public internet lie; all else is local, reserved or a way to write an IPv4
#: address.
_PUBLIC_V6 = ipaddress.IPv6Network("2000::/3")
#: An IPv4 address behind a NAT64 gateway (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
#: Metadata services of clouds that do not use a link-local address: credentials for whoever asks.
_METADATA = frozenset({ipaddress.ip_address("fd00:ec2::254"), ipaddress.ip_address("100.100.100.200")})


def check_url(url: str, *, allow_private: bool = False) -> None:
    """Refuse a URL that can never be delivered to, before anything is resolved.

    Raises AddressRefused: not http or https, no host, a name or password inside, a port that is none, or a
    host written as a forbidden address.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise AddressRefused(f"The URL cannot be read: {exc}.") from exc
    if parts.scheme not in ("http", "https"):
        raise AddressRefused("The URL of a webhook begins with https:// or http://.")
    if not parts.hostname or port == 0:
        raise AddressRefused("The URL of a webhook names a host, and a port from 1 up if any.")
    if parts.username is not None or parts.password is not None:
        # They would be kept and shown in clear; the signature tells the receiver who we are.
        raise AddressRefused("The URL of a webhook holds no user name and no password.")
    address = literal(parts.hostname)
    reason = refusal(address, allow_private=allow_private) if address else None
    if reason is not None:
        raise AddressRefused(f"Webhooks may not reach {parts.hostname}: the address is {reason}.")


def refusal(address: Address, *, allow_private: bool = False) -> str | None:
    """Return why a webhook must not reach *address*, or None where it may.

    With *allow_private*, loopback and private networks are open. Link-local addresses, multicast, the
    unspecified address and metadata services stay closed: no receiver of webhooks lives there.
    """
    address = _unwrapped(address)
    if address in _METADATA:
        return "a metadata service"
    if address.is_link_local:
        return "link-local"
    if address.is_multicast:
        return "multicast"
    if address.is_unspecified:
        return "unspecified"
    if allow_private:
        return None
    if address.is_loopback:
        return "loopback"
    if not address.is_global or (isinstance(address, ipaddress.IPv6Address) and address not in _PUBLIC_V6):
        return "private or reserved"
    return None


def checked_addresses(host: str, port: int, *, timeout: float, allow_private: bool = False) -> list[Address]:
    """Resolve *host* once and return its addresses, all of them checked, in the resolver's order.

    The caller must connect to one of these and not to the name: a second look-up could answer differently
    (DNS rebinding). One forbidden address refuses the whole name. *timeout* is in seconds.

    Raises AddressRefused; OSError where the name does not resolve; TimeoutError where that takes too long.
    """
    addresses = _resolve(host, port, timeout)
    for address in addresses:
        reason = refusal(address, allow_private=allow_private)
        if reason is not None:
            named = str(address) if str(address) == host else f"{host} ({address})"
            raise AddressRefused(f"Webhooks may not reach {named}: the address is {reason}.")
    return addresses


def literal(host: str) -> Address | None:
    """Return *host* as an address where it is written as one, also in brackets; None where it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _resolve(host: str, port: int, timeout: float) -> list[Address]:
    written = literal(host)
    if written is not None:
        return [written]
    answer: list[Sequence[tuple[object, ...]]] = []
    failure: list[BaseException] = []

    def look_up() -> None:
        try:
            answer.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as exc:
            failure.append(exc)

    # getaddrinfo knows no timeout and may take half a minute with a dead name server: it waits in a thread
    # that nobody joins at exit, and is left behind when it takes too long.
    thread = threading.Thread(target=look_up, name="webhook-dns", daemon=True)
    thread.start()
    thread.join(timeout)
    if failure:
        raise OSError(f"{host} does not resolve: {failure[0]}") from failure[0]
    if not answer:
        raise TimeoutError(f"{host} did not resolve within {timeout:g} s")
    found = (ipaddress.ip_address(str(entry[4][0])) for entry in answer[0])  # type: ignore[index]
    return list(dict.fromkeys(found))


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 notation stands for: ``::ffff:127.0.0.1`` ends at 127.0.0.1."""
    if not isinstance(address, ipaddress.IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if address.teredo is not None:
        return address.teredo[1]
    return address
