from typing import Any

from django.db import migrations, models

_LIMITS = ("weight", "rpm", "burst", "max_in_flight", "share")


def split(apps: Any, schema_editor: Any) -> None:
    """A temporary row that pauses and limits becomes two, with the end that both had."""
    rows = apps.get_model("queueops", "OrgLimit").objects.using(schema_editor.connection.alias)
    mixed = models.Q()
    for name in _LIMITS:
        mixed |= models.Q(**{f"{name}__isnull": False})
    for row in rows.filter(mixed, paused=True, valid_until__isnull=False):
        values = {name: getattr(row, name) for name in _LIMITS}
        rows.create(org=row.org, queue=row.queue, note=row.note, valid_until=row.valid_until, **values)
        rows.filter(pk=row.pk).update(**dict.fromkeys(_LIMITS))


class Migration(migrations.Migration):
    dependencies = [("queueops", "0014_letter_counts")]

    operations = [
        migrations.RemoveConstraint(model_name="orglimit", name="queueops_one_temporary_limit"),
        migrations.AddConstraint(
            model_name="orglimit",
            constraint=models.UniqueConstraint(
                condition=models.Q(("valid_until__isnull", False)),
                fields=("org", "queue", "paused"),
                name="queueops_one_temporary_limit",
                violation_error_message="This org already has a temporary limit or pause for this queue.",
            ),
        ),
        migrations.RunPython(split, migrations.RunPython.noop),
    ]
