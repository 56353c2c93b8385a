"""Every refusal is a problem document with a type that never changes."""

from __future__ import annotations

import inspect
import json

import pytest
from celery import Celery
from django.test import Client, RequestFactory, override_settings

from queueops import errors
from queueops.api import problems

from .conftest import BASE, Caller


def test_an_address_that_is_none_is_not_found(api: Caller) -> None:
    for path in ("", "nothing", "jobs/a/b/c", "jobs/"):
        assert api.refused(404, "GET", path)["type"] == "urn:queueops:problem:not-found"


def test_a_method_that_a_path_lacks_is_told_with_those_it_has(api: Caller) -> None:
    assert api.refused(405, "DELETE", "jobs")["type"] == "urn:queueops:problem:method-not-allowed"
    assert "GET" in api("DELETE", "jobs")["Allow"]


def test_what_does_not_fit_the_schema_is_told_by_field(app: Celery, api: Caller) -> None:
    problem = api.refused(422, "POST", "jobs/hold", {"task_ids": ["a", 7], "other": 1})
    assert {error["field"] for error in problem["errors"]} == {"body.task_ids.1", "body.other"}
    problem = api.refused(422, "GET", "jobs?limit=0&org=%20")
    assert {error["field"] for error in problem["errors"]} == {"query.limit", "query.org"}


@pytest.mark.parametrize("body", ["{", "", "\xff", '{"task_ids": [NaN]}', "[" * 100_000, "9" * 5000])
def test_a_body_that_is_no_json_is_refused(app: Celery, api: Caller, body: str) -> None:
    response = Client().generic(
        "POST",
        BASE + "jobs/hold",
        body.encode("latin-1"),
        content_type="application/json",
        headers={"Authorization": f"Bearer {api.secret}"},
    )
    assert response.status_code in (400, 422), response.content
    assert response["Content-Type"] == "application/problem+json"


def test_a_body_that_is_too_large_is_refused(app: Celery, api: Caller) -> None:
    with override_settings(DATA_UPLOAD_MAX_MEMORY_SIZE=100):
        problem = api.refused(413, "POST", "jobs/hold", {"task_ids": ["a" * 200]})
    assert problem["type"] == "urn:queueops:problem:payload-too-large"


def test_a_surrogate_or_a_nul_is_refused(app: Celery, api: Caller) -> None:
    for bad in ("\ud800", "a\0b"):
        api.refused(422, "POST", "jobs/hold", {"task_ids": [bad]})
    api.refused(422, "GET", "jobs?task=%00")


def test_a_cursor_that_no_list_has_given_is_not_found(app: Celery, api: Caller) -> None:
    for bad in ("x", "-1", "٣", "9" * 30):
        assert api.refused(404, "GET", f"jobs?cursor={bad}")["type"] == "urn:queueops:problem:invalid-cursor"


def test_an_unknown_job_is_not_found(app: Celery, api: Caller) -> None:
    problem = api.refused(404, "GET", "jobs/nobody")
    assert problem["type"] == "urn:queueops:problem:unknown-job"
    assert "nobody" in problem["detail"]


def test_every_error_of_ours_has_a_problem() -> None:
    request = RequestFactory().get("/")
    kinds = set()
    for name, cls in inspect.getmembers(errors, inspect.isclass):
        if not issubclass(cls, errors.QueueOpsError) or issubclass(cls, errors.ConfigurationError):
            continue  # the second is a fault of the server's settings
        response = problems.answer(request, cls())
        told = json.loads(response.content)
        assert response.status_code == told["status"] in problems.STATUSES, name
        assert told["detail"] and told["title"], name
        assert ("Retry-After" in response) == (response.status_code in (429, 503)), name
        kinds.add(told["type"])
    assert len(kinds) > 20


def test_a_fault_of_ours_is_logged_and_says_nothing_of_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    response = problems.answer(RequestFactory().get("/x"), ZeroDivisionError("secret"))
    assert response.status_code == 500
    assert b"secret" not in response.content
    assert "The API failed at GET /x" in caplog.text


def test_the_openapi_page_is_for_callers_only(app: Celery, api: Caller) -> None:
    schema = api.ok("GET", "openapi.json")
    assert schema["openapi"] == "3.1.0" and f"{BASE}jobs" in schema["paths"]
    Caller().refused(401, "GET", "openapi.json")
    browser = Client().get(BASE + "docs", headers={"Accept": "text/html"})
    assert browser.status_code == 302 and "/admin/login/" in browser["Location"]
    page = api("GET", "docs")
    assert page.status_code == 200 and b"openapi.json" in page.content
