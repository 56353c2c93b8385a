"""queueops is a package of its own: it builds as a wheel and needs nothing of the project around it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from .support import ROOT, environment

IMPORT_ALL = """
import importlib, pkgutil, sys
import django
from django.conf import settings
sys.path.insert(0, sys.argv[1])
apps, left_out = sys.argv[2].split(), sys.argv[3].split()
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.auth", "django.contrib.admin", *apps, "queueops",
    ],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
)
django.setup()
import queueops
assert queueops.__file__.startswith(sys.argv[1]), queueops.__file__
for module in pkgutil.walk_packages(queueops.__path__, "queueops."):
    if module.name not in left_out:
        importlib.import_module(module.name)
assert not {"config", "tasks"} & set(sys.modules), "the package reached for the project"
print("imported")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # From a copy: setuptools leaves its working files beside the source.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    shutil.copytree(ROOT / "queueops", source / "queueops", ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(source / "dist")]
    done = subprocess.run(build, capture_output=True, text=True, cwd=source, env=environment(), timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((source / "dist").glob("queueops-*.whl"))


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"queueops"}


def test_the_wheel_holds_every_file_the_package_reads(wheel: Path) -> None:
    packed = set(zipfile.ZipFile(wheel).namelist())
    read = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "queueops").rglob("*")
        if path.is_file() and path.suffix != ".pyc" and "__pycache__" not in path.parts
    }

    assert any(name.endswith(".lua") for name in read)
    assert read <= packed


@pytest.mark.parametrize(
    ("apps", "left_out"),
    [
        # The scheduler is imported by who chose it, and has the tables of django-celery-beat then.
        ("", "queueops.ops.beat queueops.ops.schedule_entry queueops.ops.schedule_making"),
        ("django_celery_beat django_celery_results", ""),
    ],
)
def test_the_wheel_imports_in_another_project(wheel: Path, tmp_path: Path, apps: str, left_out: str) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL, str(tmp_path), apps, left_out],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.stdout.strip() == "imported", done.stderr
