import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0001_dead_letters")]

    operations = [
        migrations.CreateModel(
            name="OrgLimit",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "org",
                    models.CharField(
                        max_length=128,
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
                    "queue",
                    models.CharField(
                        blank=True, help_text="Empty: each queue, counted apart.", max_length=255
                    ),
                ),
                (
                    "weight",
                    models.FloatField(
                        blank=True, help_text="Share relative to other orgs; 1 is usual.", null=True
                    ),
                ),
                (
                    "rpm",
                    models.FloatField(
                        blank=True,
                        help_text="Jobs started in a minute; -1 is no limit.",
                        null=True,
                        verbose_name="rate per minute",
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
                    "share",
                    models.FloatField(
                        blank=True,
                        help_text="Part of the queue's slots, above 0 up to 1; -1 is no limit.",
                        null=True,
                    ),
                ),
                (
                    "paused",
                    models.BooleanField(default=False, help_text="No job of the org starts in this queue."),
                ),
                ("note", models.CharField(blank=True, max_length=255)),
                (
                    "valid_until",
                    models.DateTimeField(blank=True, help_text="Empty: until changed.", null=True),
                ),
                ("updated_at", models.DateTimeField(auto_now=True, verbose_name="changed")),
            ],
            options={
                "verbose_name": "org limit",
                "ordering": ["org", "queue", "id"],
                "permissions": [
                    ("pause_org", "Can pause and resume orgs"),
                    ("pause_queue", "Can pause and resume queues"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("valid_until__isnull", True)),
                        fields=("org", "queue"),
                        name="queueops_one_limit",
                        violation_error_message="This org already has a limit for this queue.",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("valid_until__isnull", False)),
                        fields=("org", "queue"),
                        name="queueops_one_temporary_limit",
                        violation_error_message="This org already has a temporary limit for this queue.",
                    ),
                ],
            },
        ),
    ]
