import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0002_org_limits")]

    operations = [
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "at",
                    models.DateTimeField(
                        default=django.utils.timezone.now, editable=False, verbose_name="when"
                    ),
                ),
                ("who", models.CharField(max_length=150)),
                ("verb", models.CharField(max_length=32)),
                ("target", models.CharField(max_length=255)),
                ("parameters", models.JSONField(blank=True, default=dict)),
                ("result_count", models.PositiveIntegerField(default=0)),
                (
                    "surface",
                    models.CharField(
                        choices=[
                            ("admin", "admin"),
                            ("cli", "command line"),
                            ("api", "API"),
                            ("system", "system"),
                        ],
                        max_length=8,
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit entries",
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["at", "id"], name="queueops_audit_at"),
                    models.Index(fields=["verb", "at", "id"], name="queueops_audit_verb"),
                    models.Index(fields=["who", "at", "id"], name="queueops_audit_who"),
                    models.Index(fields=["surface", "at", "id"], name="queueops_audit_surface"),
                ],
            },
        ),
    ]
