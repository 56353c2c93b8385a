"""The addresses of the API, and a problem for every other one under it."""

from __future__ import annotations

from django.urls import re_path

from queueops.api.app import api, nowhere, with_problems

app_name = api.urls_namespace
urlpatterns = [*(with_problems(pattern) for pattern in api.urls[0]), re_path("^.*$", nowhere)]
