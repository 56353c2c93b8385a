"""The settings refuse to run with secrets that everybody knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.broker import translate

from .support import environment, python

READ = "from config import settings; print(settings.SECRET_KEY)"


def test_without_debug_a_missing_secret_key_stops_the_project(tmp_path: Path) -> None:
    result = python("-c", READ, env=environment(SECRET_KEY="", DEBUG="false", QUEUEOPS_VAR=str(tmp_path)))

    assert result.returncode != 0
    assert "SECRET_KEY is not set" in result.stderr


def test_with_debug_a_missing_secret_key_gets_a_default(tmp_path: Path) -> None:
    result = python("-c", READ, env=environment(SECRET_KEY="", DEBUG="true", QUEUEOPS_VAR=str(tmp_path)))

    assert result.returncode == 0, result.stderr
    assert "insecure" in result.stdout


def test_flower_without_a_login_does_not_start(tmp_path: Path) -> None:
    result = python(
        *("-m", "celery", "-A", "config", "flower"),
        env=environment(SECRET_KEY="x", DEBUG="false", FLOWER_BASIC_AUTH="", QUEUEOPS_VAR=str(tmp_path)),
    )

    assert result.returncode != 0
    assert "Flower needs a login" in result.stderr


@pytest.mark.parametrize("login", ["admin", "admin:secret,"])
def test_flower_with_half_a_login_does_not_start(tmp_path: Path, login: str) -> None:
    result = python(
        *("-m", "celery", "-A", "config", "flower"),
        env=environment(SECRET_KEY="x", DEBUG="true", FLOWER_BASIC_AUTH=login, QUEUEOPS_VAR=str(tmp_path)),
    )

    assert result.returncode != 0
    assert "FLOWER_BASIC_AUTH is user:password" in result.stderr


def test_the_deployment_checks_of_django_find_nothing_when_https_is_on(tmp_path: Path) -> None:
    env = environment(SECRET_KEY="k" * 60 + "abcdef", HTTPS="true", DEBUG="false", QUEUEOPS_VAR=str(tmp_path))
    result = python("manage.py", "check", "--deploy", "--fail-level", "ERROR", env=env)

    assert result.returncode == 0, result.stderr


def test_addresses_of_redis_name_our_transport() -> None:
    assert translate("redis://localhost:6379/0") == "queueops://localhost:6379/0"
    assert translate("rediss://:secret@host/1?x=1") == "queueopss://:secret@host/1?x=1"
    assert translate("queueops://host/0") == "queueops://host/0"
    assert translate("") == ""


def test_a_cloud_hosts_alias_names_the_broker(tmp_path: Path) -> None:
    env = environment(
        SECRET_KEY="x", REDIS_URL="rediss://:pw@redis.example.com:6380/2", QUEUEOPS_VAR=str(tmp_path)
    )
    result = python("-c", "from config import settings; print(settings.CELERY_BROKER_URL)", env=env)

    assert result.stdout.strip() == "queueopss://:pw@redis.example.com:6380/2", result.stderr


def test_a_database_url_replaces_sqlite(tmp_path: Path) -> None:
    env = environment(SECRET_KEY="x", DATABASE_URL="postgres://u:p@db:5433/q", QUEUEOPS_VAR=str(tmp_path))
    result = python("-c", "from config import settings; print(settings.DATABASES['default'])", env=env)

    assert "postgresql" in result.stdout and "'PORT': 5433" in result.stdout, result.stderr
