"""Search in dead letters: names and ids by their index, anything else in the newest letters only."""

from __future__ import annotations

from django.db.models import Exists, Q, QuerySet

from queueops.models import DeadLetter

__all__ = ["HELP", "search"]

#: Columns that a word may name as a whole, the most telling first; each has an index.
NAMES = ("task_id", "fingerprint", "org", "task", "error_class", "queue")
TEXTS = ("error_message", "error_class", "task", "org")
NEWEST = 10_000

HELP = f"Names are found whole; other words are looked for in the texts of the newest {NEWEST:,} letters."


def search(letters: QuerySet[DeadLetter], terms: str) -> QuerySet[DeadLetter]:
    """The letters that match every word of `terms`."""
    free: list[str] = []
    for word in terms.split():
        name = _names(word)
        if name:
            letters = letters.filter(**{name: word})
        else:
            free.append(word)
    if free:
        # Reading text costs a look at each row, so the number of rows is bounded and the page says by what.
        newest = letters.order_by("-died_at", "-id").values("pk")[:NEWEST]
        letters = letters.filter(pk__in=newest)
        for word in free:
            letters = letters.filter(_anywhere(word))
    return letters


def _names(word: str) -> str | None:
    """The first column in which some letter has just this word; one query for all of them."""
    names = ("pk", *NAMES) if word.isascii() and word.isdigit() and len(word) <= 18 else NAMES
    found = [Exists(DeadLetter.objects.filter(**{name: word})) for name in names]
    for row in DeadLetter.objects.order_by("-died_at", "-id").values_list(*found)[:1]:
        return next((name for name, exists in zip(names, row, strict=True) if exists), None)
    return None


def _anywhere(word: str) -> Q:
    found = Q()
    for column in TEXTS:
        found |= Q(**{f"{column}__icontains": word})
    return found
