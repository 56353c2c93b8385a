"""Errors: one tree, words that help, and the way across a process border."""

from __future__ import annotations

import pickle

import pytest
from kombu.exceptions import OperationalError

from queueops import errors
from queueops.errors import (
    BrokerFull,
    BrokerUnavailable,
    InvalidOrg,
    InvalidPriority,
    InvalidResource,
    PayloadTooLarge,
    PublishError,
    QueueOpsError,
    UnknownQueue,
)

EXAMPLES = [
    UnknownQueue("standrad", ["bulk", "standard"]),
    InvalidOrg("a b"),
    InvalidResource("a b"),
    InvalidPriority(11),
    PayloadTooLarge(300_000, 262_144),
    BrokerUnavailable("gone"),
    BrokerFull(),
    errors.StaleLease("a", "b"),
]


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_is_in_the_tree_and_speaks_without_arguments(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, QueueOpsError)
    assert str(kind()).endswith(".")


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda e: type(e).__name__)
def test_an_error_crosses_a_process_border_as_it_is(error: QueueOpsError) -> None:
    # The ways of billiard (pickle) and of a result backend (class and args).
    for copy in (pickle.loads(pickle.dumps(error)), type(error)(*error.args)):  # noqa: S301
        assert type(copy) is type(error)
        assert str(copy) == str(error)


def test_the_words_name_what_is_known_and_what_to_do() -> None:
    assert "Known queues: bulk, standard" in str(UnknownQueue("standrad", ["standard", "bulk"]))
    assert "1 to 128 characters" in str(InvalidOrg("a b"))
    assert str(InvalidResource("a b")).startswith("Resource 'a b'")
    assert "300,000 bytes" in str(PayloadTooLarge(300_000, 262_144))
    assert "Store the blob elsewhere" in str(PayloadTooLarge(1, 1))


def test_code_that_catches_celerys_error_catches_ours() -> None:
    assert issubclass(BrokerUnavailable, OperationalError)
    assert issubclass(BrokerFull, BrokerUnavailable)
    assert issubclass(BrokerUnavailable, PublishError)
