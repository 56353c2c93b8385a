"""What people are shown: masked, grouped, and fit for every database."""

from __future__ import annotations

import json
import re
import time

import pytest
from django.test import override_settings
from hypothesis import given
from hypothesis import strategies as st

from queueops.ops import storable
from queueops.ops.fingerprint import fingerprint, normalised
from queueops.ops.masking import MASK, mask, mask_text, unmask

FRAME = '  File "/srv/{folder}/tasks.py", line {line}, in deliver\n    post()\n'


def test_the_values_of_masked_keys_are_hidden_however_deep_they_lie() -> None:
    payload = {
        "user": {"Password": "x", "name": "y"},
        "list": [{"api_key": 1}, {"apikey": [2]}],
        "token": None,
    }
    assert mask(payload) == {
        "user": {"Password": MASK, "name": "y"},
        "list": [{"api_key": MASK}, {"apikey": MASK}],
        "token": None,
    }
    assert payload["user"] == {"Password": "x", "name": "y"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("token=abc&x=1", f"token={MASK}&x=1"),
        ('{"access_token": "abc", "x": 1}', f'{{"access_token": "{MASK}", "x": 1}}'),
        ("{'password': 'abc'}", f"{{'password': '{MASK}'}}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("no key here", "no key here"),
        ("Authorization: Token abc123", f"Authorization: Token {MASK}"),
        ("Authorization: Bearer abc, retried", f"Authorization: Bearer {MASK}, retried"),
        ("Authorization: Hawk abc123", f"Authorization: {MASK}"),
        ('Authorization: Digest name="m", response="6629"\nnext', f"Authorization: {MASK}\nnext"),
        ("get(authorization=abc, x=1)", f"get(authorization={MASK}, x=1)"),
        ("{'Authorization': 'Hawk abc 123', 'x': 1}", f"{{'Authorization': '{MASK}', 'x': 1}}"),
        ("{'password': 'correct horse battery'}", f"{{'password': '{MASK}'}}"),
        ("{'password': \"it's mine\", 'x': 1}", f"{{'password': \"{MASK}\", 'x': 1}}"),
        ("{'password': b'correct horse'}", f"{{'password': b'{MASK}'}}"),
        ('{"password": "a\\" b\\\\", "x": "y"}', f'{{"password": "{MASK}", "x": "y"}}'),
        ('{\\"token\\": \\"abc\\"}', f'{{\\"token\\": \\"{MASK}\\"}}'),
        ('"{\\"token\\": \\"a\\\\\\" b\\", \\"x\\": 1}"', f'"{{\\"token\\": \\"{MASK}\\", \\"x\\": 1}}"'),
        ('told "{\\"token\\": \\"abc" and more', f'told "{{\\"token\\": \\"{MASK}" and more'),
        ("cut off: {'token': 'abc de\nnext line", f"cut off: {{'token': '{MASK}\nnext line"),
        ("{'tokens': ['a', 'b'], 'x': 1}", f"{{'tokens': {MASK}, 'x': 1}}"),
        ("{'tokens': ['a]', ('b')], 'x': 1}", f"{{'tokens': {MASK}, 'x': 1}}"),
        ("tokens = ['a', 'b\nnext line", f"tokens = {MASK}\nnext line"),
        ("X-Api-Key: abc", f"X-Api-Key: {MASK}"),
        ("token='' and token=", "token='' and token="),
    ],
)
def test_secrets_in_messages_and_tracebacks_are_hidden(text: str, shown: str) -> None:
    assert mask_text(text) == shown


SECRETS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).map("§§{}§§".format)
_NO_KEY = re.compile("password|passwd|secret|token|authorization|api[_-]?key|signature", re.IGNORECASE)


@given(SECRETS, st.sampled_from(["password", "X-Api-Key", "Authorization"]), st.integers(0, 3), st.booleans())
def test_no_value_is_left_standing_however_often_it_is_quoted(
    secret: str, key: str, depth: int, of_python: bool
) -> None:
    payload: object = {"before": "b", key: secret, "secrets": [secret, {"x": secret}], "after": "still here"}
    text = repr(payload) if of_python else json.dumps(payload)
    for _ in range(depth):
        text = json.dumps(text)
    shown = mask_text(text)
    assert "§" not in shown and "u00a7" not in shown
    assert "still here" in shown


@given(st.text().filter(lambda text: not _NO_KEY.search(text)))
def test_a_text_without_a_key_stays_as_it_is(text: str) -> None:
    assert mask_text(text) == text


@given(
    st.lists(st.sampled_from(["token", "=", ": ", '"', "'", "\\", "[", "Bearer ", "a", "\n"]), max_size=40)
)
def test_any_heap_of_keys_and_quotes_can_be_read(parts: list[str]) -> None:
    text = "".join(parts)
    assert mask_text(text).count("\n") <= text.count("\n")
    if text.endswith("\ntoken=hush"):
        assert not mask_text(text).endswith("hush")


@pytest.mark.parametrize(
    "piece",
    [
        "token",
        "token-",
        "a",
        "a-",
        " ",
        "\\",
        "token\\",
        "token ",
        "token=[",
        "token='",
        "token=['",
        "token=",
        "=",
        '"',
    ],
)
def test_a_text_twice_as_long_takes_twice_as_long(piece: str) -> None:
    def steps(size: int) -> float:
        text = piece * (size // len(piece))
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            mask_text(text)
            best = min(best, time.process_time() - began)
        return best

    # What grows with the square would take 256 times as long; bounds leave room for a busy machine.
    assert steps(320_000) < 64 * max(steps(20_000), 0.0005)


def test_mask_keys_are_a_setting() -> None:
    with override_settings(QUEUEOPS={"MASK_KEYS": ["card_.*", "iban"]}):
        assert mask({"card_number": 1, "IBAN": 2, "password": 3}) == {
            "card_number": MASK,
            "IBAN": MASK,
            "password": 3,
        }
    with override_settings(QUEUEOPS={"MASK_KEYS": []}):
        assert mask({"password": 3}) == {"password": 3}
        assert mask_text("password=3") == "password=3"


def test_a_mask_that_was_left_in_its_place_stands_for_its_value() -> None:
    original = {"user": {"token": "hush", "n": 1}, "list": [{"token": "a"}, {"token": "b"}]}
    edited = {"user": {"token": MASK, "n": 2}, "list": [{"token": MASK}, {"token": "new"}]}
    assert unmask(edited, original) == {
        "user": {"token": "hush", "n": 2},
        "list": [{"token": "a"}, {"token": "new"}],
    }


@pytest.mark.parametrize("edited", [{"other": MASK}, {"list": [{"token": MASK}]}, {"user": [MASK]}])
def test_a_mask_that_hides_nothing_known_is_refused(edited: object) -> None:
    original = {"user": {"token": "hush"}, "list": [{"token": "a"}, {"token": "b"}]}
    with pytest.raises(ValueError, match="hides a value only where it was shown"):
        unmask(edited, original)


def test_letters_of_one_error_have_one_fingerprint_whatever_their_numbers() -> None:
    def one(line: int, folder: str, told: str) -> str:
        return fingerprint("t", "Refused", told, FRAME.format(line=line, folder=folder))

    first = one(88, "blue", "order 17 of 'acme' at https://a/1 answered 503")
    assert first == one(91, "green", "order 9000 of 'other' at https://b/2?x answered 503\nsecond line")
    assert first != one(88, "blue", "order 17 of 'acme' at https://a/1 answered 404")
    assert first != fingerprint("u", "Refused", "order 17", FRAME.format(line=88, folder="blue"))
    assert len(first) == 16


def test_what_varies_in_a_message_is_named() -> None:
    told = "job 0b7a2f9e-1c7e-4c9e-8f6f-3f1f6d8f4b21 of m@x.org: 0xdeadbeef after 3.5 s, 'text', status 500"
    assert normalised(told) == "job <uuid> of <email>: <hex> after <n> s, <text>, status 500"


@pytest.mark.parametrize("message", ["plain", "ümlaut", "nul \x00", "lone \ud800 \udcff"])
def test_every_message_comes_back_character_by_character(message: str) -> None:
    from queueops.models import DeadLetter

    stored, encoding = storable.encoded(message)
    stored.encode()
    assert "\x00" not in stored
    assert DeadLetter(message=stored, message_encoding=encoding).raw_message == message


def test_times_that_no_calendar_has_are_none() -> None:
    assert storable.at(0) is None
    assert storable.at(10**20) is None
    assert storable.at(1_800_000_000_000) is not None
