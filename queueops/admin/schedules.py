"""Entries of the schedule in admin: django-celery-beat's page, with org and resource, checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin, messages
from django.http import HttpRequest

from queueops.conf import config
from queueops.errors import QueueOpsError
from queueops.models import NAME, AuditEntry
from queueops.ops import permissions
from queueops.ops.permissions import Actor

__all__: list[str] = []

if apps.is_installed("django_celery_beat"):
    # Imported first, so that its own page is registered, and can be replaced, whatever the order of the apps.
    from django_celery_beat.admin import PeriodicTaskAdmin, PeriodicTaskForm
    from django_celery_beat.models import (
        ClockedSchedule,
        CrontabSchedule,
        IntervalSchedule,
        PeriodicTask,
        SolarSchedule,
    )

    from queueops.ops.schedule_entry import OPTIONS, own_options, with_own_options
    from queueops.ops.schedules import delete_rows, disable, enable, run_now, save_row

    class EntryForm(PeriodicTaskForm):
        """The entry's form; org and resource stand in its headers."""

        org = forms.CharField(
            required=False,
            max_length=128,
            validators=[NAME],
            help_text="Whose jobs they are; empty: as the task says.",
        )
        resource = forms.CharField(
            required=False, max_length=128, validators=[NAME], help_text="The outside thing that they use."
        )

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            if self.instance.pk:
                self.initial |= own_options(self.instance.headers)
            # Who may only look has a form without fields.
            if field := self.fields.get("priority"):
                field.help_text = "0 (sooner) to 10 (later): critical 0, high 1, normal 5, low 8, bulk 10."

        def clean_priority(self) -> int | None:
            priority: int | None = self.cleaned_data["priority"]
            if priority is not None and priority > 10:
                raise forms.ValidationError("A priority is 0 to 10.")
            return priority

        def clean_queue(self) -> str | None:
            queue: str | None = self.cleaned_data["queue"]
            if queue and queue not in config().queues:
                raise forms.ValidationError(
                    f"Queue {queue} is not declared. Known: {', '.join(config().queues)}."
                )
            return queue

        def clean(self) -> dict[str, Any]:
            data: dict[str, Any] = super().clean()
            try:
                given = {name: data.get(name) or "" for name in OPTIONS}
                data["headers"] = with_own_options(data.get("headers"), given)
            except ValueError:
                self.add_error("headers", "Headers are a JSON object.")
            return data

    class OperatedMixin:
        """Rows that only who may operate schedules adds, changes and deletes, each by a verb."""

        def has_operate_permission(self, request: HttpRequest) -> bool:
            return bool(request.user.has_perm(permissions.OPERATE_SCHEDULE))

        def has_add_permission(self, request: HttpRequest) -> bool:
            return self.has_operate_permission(request) and super().has_add_permission(request)  # type: ignore[misc]

        def has_change_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
            return self.has_operate_permission(request) and super().has_change_permission(request, obj)  # type: ignore[misc]

        def has_delete_permission(self, request: HttpRequest, obj: Any | None = None) -> bool:
            return self.has_operate_permission(request) and super().has_delete_permission(request, obj)  # type: ignore[misc]

        def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
            save_row(_actor(request), obj, form.changed_data)

        def delete_model(self, request: HttpRequest, obj: Any) -> None:
            delete_rows(_actor(request), [obj])

        def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
            delete_rows(_actor(request), list(queryset))

    class EntryAdmin(OperatedMixin, PeriodicTaskAdmin):
        """Adds whose jobs an entry makes; whatever is done to entries is done by the verbs of schedules."""

        form = EntryForm
        list_display = ("name", "enabled", "scheduler", "org", "queue", "last_run_at", "one_off")
        # Toggle is left out: nobody can tell from its audit entry, or before pressing it, what it does.
        actions = ("enable_tasks", "disable_tasks", "run_tasks")
        fieldsets = tuple(
            (title, {**found, "fields": ("org", "resource", *found["fields"])})
            if "queue" in found["fields"]
            else (title, found)
            for title, found in PeriodicTaskAdmin.fieldsets
        )

        @admin.display(description="org")
        def org(self, entry: PeriodicTask) -> str:
            return own_options(entry.headers).get("org", "")

        @admin.action(description="Enable selected entries", permissions=["operate"])
        def enable_tasks(self, request: HttpRequest, queryset: Any) -> None:
            self._done(request, lambda actor: enable(actor, _numbers(queryset)).count, "enabled")

        @admin.action(description="Disable selected entries", permissions=["operate"])
        def disable_tasks(self, request: HttpRequest, queryset: Any) -> None:
            self._done(request, lambda actor: disable(actor, _numbers(queryset)).count, "disabled")

        @admin.action(description="Run selected entries now", permissions=["operate"])
        def run_tasks(self, request: HttpRequest, queryset: Any) -> None:
            self._done(request, lambda actor: len(run_now(actor, _numbers(queryset))), "sent")

        def _done(self, request: HttpRequest, verb: Callable[[Actor], int], word: str) -> None:
            try:
                count = verb(_actor(request))
            except QueueOpsError as error:
                self.message_user(request, f"It stopped there: {error}", messages.ERROR)
            else:
                self.message_user(request, f"{count:,} {word}.", messages.SUCCESS)

    def _actor(request: HttpRequest) -> Actor:
        return Actor.of(request.user, AuditEntry.Surface.ADMIN)

    def _numbers(entries: Any) -> list[int]:
        return list(entries.values_list("pk", flat=True))

    admin.site.unregister(PeriodicTask)
    admin.site.register(PeriodicTask, EntryAdmin)
    # The times that entries share: who changes one changes when each of its entries is due.
    for _model in (ClockedSchedule, CrontabSchedule, IntervalSchedule, SolarSchedule):
        _page = type(admin.site.get_model_admin(_model))
        admin.site.unregister(_model)
        admin.site.register(_model, type(_page.__name__, (OperatedMixin, _page), {}))
