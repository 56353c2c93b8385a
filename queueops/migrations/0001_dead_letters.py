import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("queue", models.CharField(max_length=255)),
                ("org", models.CharField(max_length=128)),
                ("resource", models.CharField(blank=True, max_length=128)),
                ("task", models.CharField(blank=True, max_length=255)),
                ("task_id", models.CharField(blank=True, max_length=255, verbose_name="task id")),
                (
                    "args",
                    models.JSONField(
                        blank=True, default=list, help_text="For reading; a replay uses the whole message."
                    ),
                ),
                ("kwargs", models.JSONField(blank=True, default=dict)),
                ("message", models.TextField(help_text="The whole message as the broker held it.")),
                (
                    "message_encoding",
                    models.CharField(
                        blank=True,
                        help_text="'base64' where the message has bytes that a text column refuses.",
                        max_length=8,
                    ),
                ),
                (
                    "reason",
                    models.CharField(
                        choices=[
                            ("failed", "failed"),
                            ("timeout", "timeout"),
                            ("rejected", "rejected"),
                            ("undecodable", "undecodable"),
                            ("unknown_task", "unknown task"),
                            ("expired", "expired"),
                            ("worker_lost", "worker lost"),
                            ("retry_refused", "retry refused"),
                        ],
                        max_length=32,
                    ),
                ),
                ("error_class", models.CharField(blank=True, max_length=255, verbose_name="error")),
                ("error_message", models.TextField(blank=True)),
                ("traceback", models.TextField(blank=True)),
                (
                    "fingerprint",
                    models.CharField(
                        help_text="Equal for letters that died of the same error.", max_length=16
                    ),
                ),
                (
                    "attempts",
                    models.JSONField(
                        blank=True, default=list, help_text="Times, errors and workers, oldest first."
                    ),
                ),
                ("attempt_count", models.PositiveIntegerField(default=1, verbose_name="attempts")),
                ("deliveries", models.PositiveIntegerField(default=1)),
                ("worker", models.CharField(blank=True, max_length=255)),
                ("run_ms", models.PositiveBigIntegerField(default=0, verbose_name="last run (ms)")),
                (
                    "first_enqueued_at",
                    models.DateTimeField(blank=True, null=True, verbose_name="first enqueued"),
                ),
                ("died_at", models.DateTimeField(verbose_name="died")),
                (
                    "status",
                    models.CharField(
                        choices=[("parked", "parked"), ("replayed", "replayed"), ("discarded", "discarded")],
                        default="parked",
                        max_length=16,
                    ),
                ),
                ("closed_at", models.DateTimeField(blank=True, null=True, verbose_name="closed")),
                ("closed_by", models.CharField(blank=True, max_length=150)),
                (
                    "replay_number",
                    models.PositiveIntegerField(
                        default=0, help_text="Which replay of the job died here; 0 is none."
                    ),
                ),
                (
                    "lease_token",
                    models.CharField(help_text="Of the delivery that died.", max_length=255, unique=True),
                ),
                (
                    "origin",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        help_text="The first letter of this job, where this one died in a replay.",
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="descendants",
                        to="queueops.deadletter",
                    ),
                ),
            ],
            options={
                "permissions": [
                    ("view_payload", "Can see the payload of jobs (arguments, message)"),
                    ("replay_deadletter", "Can replay dead letters"),
                    ("edit_deadletter", "Can edit the arguments of dead letters and replay them"),
                    ("discard_deadletter", "Can discard dead letters"),
                    ("purge_deadletter", "Can purge dead letters"),
                ],
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["status", "died_at", "id"], name="queueops_letter_status"),
                    models.Index(fields=["died_at", "id", "status"], name="queueops_letter_died"),
                    models.Index(fields=["queue", "died_at", "id", "status"], name="queueops_letter_queue"),
                    models.Index(fields=["org", "died_at", "id", "status"], name="queueops_letter_org"),
                    models.Index(fields=["task", "died_at", "id", "status"], name="queueops_letter_task"),
                    models.Index(fields=["reason", "died_at", "id", "status"], name="queueops_letter_reason"),
                    models.Index(
                        fields=["error_class", "died_at", "id", "status"], name="queueops_letter_error"
                    ),
                    models.Index(
                        fields=["fingerprint", "died_at", "id", "status"], name="queueops_letter_fingerprint"
                    ),
                    models.Index(fields=["task_id"], name="queueops_letter_task_id"),
                    models.Index(fields=["origin", "replay_number"], name="queueops_letter_line"),
                ],
            },
        ),
    ]
