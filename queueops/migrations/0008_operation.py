from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0005_outbox")]

    operations = [
        # No table: a place for permissions.
        migrations.CreateModel(
            name="Operation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
            ],
            options={
                "permissions": [
                    ("view_jobs", "Can see the jobs that wait or run"),
                    ("cancel_job", "Can cancel jobs"),
                    ("hold_job", "Can hold and release jobs"),
                    ("retry_job", "Can have waiting jobs run now"),
                    ("unstick_job", "Can stop jobs that run for too long and give them back"),
                    ("recover_leases", "Can have expired leases ended now"),
                    ("drain_queue", "Can drain queues"),
                    ("repair_broker", "Can have the doctor repair the broker"),
                ],
                "managed": False,
                "default_permissions": (),
            },
        ),
    ]
