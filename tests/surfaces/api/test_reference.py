"""What docs/api.md says of the routes is what there is, and projects without ninja have none."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from queueops.api import problems
from queueops.api.reference import lines
from tests.house.support import ROOT, environment

WITHOUT_NINJA = """
import sys
sys.modules["ninja"] = None
import django
from django.conf import settings
settings.configure(
    SECRET_KEY="x",
    ROOT_URLCONF="queueops.urls",
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin", "queueops",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
from django.urls import get_resolver
assert not [one for one in get_resolver().url_patterns if "api/v1" in str(one.pattern)]
assert "queueops.api.app" not in sys.modules
print("no api")
"""


#: The page as the project of this repository serves it.
PAGE = """
import django
django.setup()
from django.test import RequestFactory
from queueops.api.app import api
print(api.docs.render_page(RequestFactory().get("/"), api).content.decode())
"""


def test_the_page_lists_every_route() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    table = page.partition("## Routes\n")[2]
    missing = "make it anew: python -m queueops.api.reference"
    assert [line for line in lines() if line] == [line for line in table.splitlines() if line], missing


def test_the_page_lists_every_status() -> None:
    page = (ROOT / "docs" / "api.md").read_text()
    assert {int(found) for found in re.findall(r"^\| (\d{3}) \|", page, re.M)} == set(problems.STATUSES)


def test_a_project_without_ninja_has_no_api_and_works() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NINJA],
        capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "no api", done.stderr


def test_the_openapi_page_of_the_project_needs_no_foreign_host(tmp_path: Path) -> None:
    env = environment(
        DJANGO_SETTINGS_MODULE="config.settings", DEBUG="true", QUEUEOPS_VAR=str(tmp_path), SECRET_KEY=""
    )
    done = subprocess.run(
        [sys.executable, "-c", PAGE], capture_output=True, text=True, cwd=ROOT, env=env, timeout=60
    )
    assert "/static/ninja/swagger-ui" in done.stdout, done.stderr
    assert "//" not in done.stdout.replace("<!--", "").replace("//# ", ""), done.stdout
