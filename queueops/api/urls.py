"""The addresses of the API, and a problem for every other one under it."""

from __future__ import annotations

from django.urls import re_path

from queueops.api.app import api, nowhere, with_problems

app_name = api.urls_namespace
_patterns = api.urls[0]
urlpatterns = [*(with_problems(one, _patterns) for one in _patterns), re_path("^.*$", nowhere)]
