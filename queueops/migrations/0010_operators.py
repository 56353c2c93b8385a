from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0009_cleanup")]

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
                    ("view_operations", "Can see queues, workers, orgs and metrics"),
                    ("enqueue_job", "Can enqueue jobs"),
                    ("operate_worker", "Can quiet, restart, stop and scale workers"),
                    ("operate_schedule", "Can add, enable, disable and run schedules"),
                    ("export_deadletter", "Can export and import dead letters"),
                    ("forget_org", "Can forget orgs: cancel, purge and mask all they have"),
                ],
            },
        ),
        migrations.AlterField(
            model_name="auditentry",
            name="surface",
            field=models.CharField(
                choices=[
                    ("admin", "admin"),
                    ("cli", "command line"),
                    ("api", "API"),
                    ("dashboard", "dashboard"),
                    ("system", "system"),
                ],
                max_length=16,
            ),
        ),
    ]
