from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("queueops", "0008_operation")]

    operations = [
        migrations.AlterModelOptions(
            name="operation",
            options={
                "default_permissions": (),
                "managed": False,
                "permissions": [
                    ("view_jobs", "Can see the jobs that wait or run"),
                    ("cancel_job", "Can cancel jobs"),
                    ("hold_job", "Can hold and release jobs"),
                    ("retry_job", "Can have waiting jobs run now"),
                    ("unstick_job", "Can stop jobs that run for too long and give them back"),
                    ("recover_leases", "Can have expired leases ended now"),
                    ("drain_queue", "Can drain queues"),
                    ("repair_broker", "Can have the doctor repair the broker"),
                    ("cleanup", "Can delete what is past its retention"),
                ],
            },
        ),
    ]
