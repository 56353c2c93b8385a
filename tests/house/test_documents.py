"""What the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .support import ROOT

DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
PATH = re.compile(r"`((?:queueops|config|tasks|deploy|tests|bench|docs)/[\w./-]*)`")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_paths_in_a_document_lead_somewhere(document: Path) -> None:
    text = document.read_text()

    links = [name for name in LINK.findall(text) if not (document.parent / name).exists()]
    paths = [name for name in PATH.findall(text) if not (ROOT / name).exists()]

    assert links + paths == []


def test_internals_walks_through_every_file_of_the_hot_path() -> None:
    text = (ROOT / "docs" / "internals.md").read_text()
    scripts = {path.name for path in (ROOT / "queueops" / "engine" / "lua").glob("*.lua")}
    beside = {"adopt.lua", "pause.lua", "purge.lua", "snapshot.lua"}  # an operator's verbs
    beside |= {"panic.lua", "resource.lua", "resources.lua"}

    assert {name for name in scripts - beside if name not in text} == set()
