import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0003_audit_entries")]

    operations = [
        migrations.CreateModel(
            name="Resource",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        max_length=128,
                        unique=True,
                        validators=[
                            django.core.validators.RegexValidator(
                                "\\A[A-Za-z0-9._@-]{1,128}\\Z",
                                'A name is 1 to 128 characters of letters, digits and ". _ @ -".',
                                "invalid_name",
                            )
                        ],
                    ),
                ),
                (
                    "rate",
                    models.CharField(
                        blank=True,
                        help_text="Jobs started, as 10/s, 5/m, 100/h or 1000/d; -1 is no limit.",
                        max_length=32,
                    ),
                ),
                (
                    "burst",
                    models.IntegerField(
                        blank=True, help_text="Jobs that may start at once after a quiet time.", null=True
                    ),
                ),
                (
                    "max_in_flight",
                    models.IntegerField(
                        blank=True, help_text="Jobs running at once; -1 is no limit.", null=True
                    ),
                ),
                (
                    "breaker",
                    models.CharField(
                        blank=True,
                        choices=[("on", "on"), ("off", "off")],
                        help_text="Whether the resource is closed by itself when too many of its jobs fail.",
                        max_length=3,
                    ),
                ),
                (
                    "failure_share",
                    models.FloatField(
                        blank=True,
                        help_text="Part of the calls that must have failed, above 0 up to 1.",
                        null=True,
                    ),
                ),
                (
                    "min_calls",
                    models.IntegerField(
                        blank=True,
                        help_text="With fewer in the window it does not open.",
                        null=True,
                        verbose_name="least calls",
                    ),
                ),
                (
                    "window_seconds",
                    models.FloatField(
                        blank=True,
                        help_text="Calls that ended in this time are looked at.",
                        null=True,
                        verbose_name="window (s)",
                    ),
                ),
                (
                    "open_seconds",
                    models.FloatField(
                        blank=True,
                        help_text="Each opening in a row lasts twice as long.",
                        null=True,
                        verbose_name="first opening (s)",
                    ),
                ),
                (
                    "longest_open_seconds",
                    models.FloatField(blank=True, null=True, verbose_name="longest opening (s)"),
                ),
                (
                    "probes",
                    models.IntegerField(
                        blank=True, help_text="Jobs that must succeed before it closes again.", null=True
                    ),
                ),
                ("note", models.CharField(blank=True, max_length=255)),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="changed")),
            ],
            options={
                "ordering": ["name"],
                "permissions": [
                    ("panic_resource", "Can put resources into panic mode and end it"),
                    ("pause_resource", "Can pause and resume resources"),
                    ("pause_task", "Can pause and resume tasks by their name"),
                ],
            },
        ),
    ]
