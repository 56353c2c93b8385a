from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.signing import (
    SIGNATURE_HEADER,
    TIMESTAMP_HEADER,
    SignatureRefused,
    key_of,
    new_secret,
    sign,
    verify,
)

# The example of the Standard Webhooks specification: other implementations agree on it.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = "msg_p5jXN8AQM9LWM0D4loKWxJek"
BODY = b'{"test": 2432232314}'
AT = 1614265330
SIGNED = {
    "webhook-id": EVENT,
    "webhook-timestamp": str(AT),
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}


def test_the_signature_is_that_of_the_specification() -> None:
    assert sign(SECRET, EVENT, BODY, at=AT) == SIGNED
    assert verify(SECRET, SIGNED, BODY, now=AT) == EVENT


def test_header_names_may_have_any_case() -> None:
    assert verify(SECRET, {name.title(): value for name, value in SIGNED.items()}, BODY, now=AT) == EVENT


def test_one_right_signature_among_several_is_enough() -> None:
    several = f"v1,AAAA v2,whatever {SIGNED[SIGNATURE_HEADER]}"
    assert verify(SECRET, {**SIGNED, SIGNATURE_HEADER: several}, BODY, now=AT) == EVENT


@pytest.mark.parametrize("away", [-301, 301])
def test_a_time_outside_the_tolerance_is_refused(away: int) -> None:
    with pytest.raises(SignatureRefused, match="300 s away"):
        verify(SECRET, SIGNED, BODY, now=AT + away)


@pytest.mark.parametrize("timestamp", ["", "+1614265330", "1614265330.0", "1_614_265_330", "٣", "9" * 400])
def test_a_timestamp_that_is_no_unix_time_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureRefused):
        verify(SECRET, {**SIGNED, TIMESTAMP_HEADER: timestamp}, BODY, now=AT)


@pytest.mark.parametrize("name", SIGNED)
def test_a_missing_header_is_named(name: str) -> None:
    with pytest.raises(SignatureRefused, match=name):
        verify(SECRET, {other: value for other, value in SIGNED.items() if other != name}, BODY, now=AT)


def test_a_signature_that_is_not_ascii_is_refused_and_does_not_crash() -> None:
    with pytest.raises(SignatureRefused, match="No signature"):
        verify(SECRET, {**SIGNED, SIGNATURE_HEADER: "v1,é"}, BODY, now=AT)


@settings(deadline=None)  # how long it takes depends on what else runs on the machine
@given(body=st.binary(max_size=200), place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_changed_body_is_refused(body: bytes, place: int, bit: int) -> None:
    secret = new_secret()
    headers = sign(secret, EVENT, body, at=AT)
    assert verify(secret, headers, body, now=AT) == EVENT
    changed = bytearray(body or b"\0")
    changed[place % len(changed)] ^= 1 << bit
    with pytest.raises(SignatureRefused):
        verify(secret, headers, bytes(changed), now=AT)


def test_another_secret_event_or_time_is_refused() -> None:
    for secret, headers in (
        (new_secret(), SIGNED),
        (SECRET, {**SIGNED, "webhook-id": "msg_other"}),
        (SECRET, {**SIGNED, TIMESTAMP_HEADER: str(AT + 1)}),
    ):
        with pytest.raises(SignatureRefused, match="No signature"):
            verify(secret, headers, BODY, now=AT)


def test_new_secrets_differ_and_hold_32_bytes() -> None:
    assert len({new_secret() for _ in range(50)}) == 50
    assert len(key_of(new_secret())) == 32


@pytest.mark.parametrize(
    ("secret", "reason"),
    [
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "begins with"),
        ("whsec_not base64!", "base64"),
        ("whsec_" + base64.b64encode(b"short").decode(), "at least 24 bytes"),
    ],
)
def test_a_secret_that_is_none_is_refused_with_the_reason(secret: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        key_of(secret)
