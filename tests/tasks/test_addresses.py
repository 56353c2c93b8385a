from __future__ import annotations

import ipaddress
import socket
import threading
from typing import Any

import pytest

from tasks.addresses import check_url, checked_addresses, refusal
from tasks.failures import AddressRefused

PUBLIC = [
    "93.184.216.34",
    "1.1.1.1",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]
PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "192.0.2.7",
    "198.18.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "2001:db8::1",
    "100::1",
    "64:ff9b:1::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
]
NEVER = [
    "0.0.0.0",
    "::",
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fe80::1",
    "224.0.0.1",
    "ff02::1",
    "fd00:ec2::254",
    "100.100.100.200",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_open(address: str) -> None:
    assert refusal(ipaddress.ip_address(address)) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_closed_unless_allowed(address: str) -> None:
    assert refusal(ipaddress.ip_address(address)) is not None
    assert refusal(ipaddress.ip_address(address), allow_private=True) is None


@pytest.mark.parametrize("address", NEVER)
def test_metadata_link_local_and_multicast_stay_closed(address: str) -> None:
    assert refusal(ipaddress.ip_address(address)) is not None
    assert refusal(ipaddress.ip_address(address), allow_private=True) is not None


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Make every name resolve to these; returns the list of names that were asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **options: Any) -> list[tuple[Any, ...]]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


def test_every_address_of_a_name_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = resolve_to(monkeypatch, "93.184.216.34", "10.0.0.1")
    with pytest.raises(AddressRefused, match=r"hooks\.example \(10\.0\.0\.1\).*private"):
        checked_addresses("hooks.example", 443, timeout=5)
    assert asked == ["hooks.example"]


def test_the_resolvers_order_is_kept_and_repeats_are_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "93.184.216.34", "1.1.1.1", "93.184.216.34")
    found = checked_addresses("hooks.example", 443, timeout=5)
    assert [str(address) for address in found] == ["93.184.216.34", "1.1.1.1"]


def test_a_resolver_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **options: done.wait(30))
    with pytest.raises(TimeoutError, match="did not resolve within"):
        checked_addresses("hooks.example", 443, timeout=0.05)
    done.set()


def test_a_name_that_does_not_resolve_is_an_os_error() -> None:
    with pytest.raises(OSError, match="does not resolve"):
        checked_addresses("a" * 64 + ".invalid", 443, timeout=5)


@pytest.mark.parametrize(
    "url", ["https://hooks.example/in", "http://93.184.216.34:8080/", "https://[2606:4700::1]/"]
)
def test_a_public_url_passes(url: str) -> None:
    check_url(url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("ftp://hooks.example/", "begins with"),
        ("file:///etc/passwd", "begins with"),
        ("hooks.example", "begins with"),
        ("https://", "names a host"),
        ("https://hooks.example:99999/", "cannot be read"),
        ("https://hooks.example:0/", "names a host"),
        ("https://[::1/", "cannot be read"),
        ("https://user:word@hooks.example/", "no user name"),
        ("http://127.0.0.1/", "loopback"),
        ("http://[::1]/", "loopback"),
        ("http://169.254.169.254/latest", "link-local"),
        ("http://[::ffff:10.1.2.3]/", "private"),
    ],
)
def test_a_url_that_can_never_be_delivered_to_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(AddressRefused, match=reason):
        check_url(url)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "127.1", "017700000001"])
def test_odd_spellings_of_loopback_are_caught_when_they_resolve(host: str) -> None:
    with pytest.raises((AddressRefused, OSError)):
        checked_addresses(host, 80, timeout=5)
