from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0012_alerts")]

    operations = [
        migrations.RemoveIndex("deadletter", "queueops_letter_status"),
        migrations.RemoveIndex("deadletter", "queueops_letter_queue"),
        migrations.RemoveIndex("deadletter", "queueops_letter_org"),
        migrations.RemoveIndex("deadletter", "queueops_letter_fingerprint"),
        migrations.AddIndex(
            "deadletter",
            models.Index(fields=["status", "died_at", "id", "fingerprint"], name="queueops_letter_status"),
        ),
        migrations.AddIndex(
            "deadletter",
            models.Index(
                fields=["queue", "died_at", "id", "status", "fingerprint"], name="queueops_letter_queue"
            ),
        ),
        migrations.AddIndex(
            "deadletter",
            models.Index(
                fields=["org", "died_at", "id", "status", "fingerprint"], name="queueops_letter_org"
            ),
        ),
        migrations.AddIndex(
            "deadletter",
            models.Index(
                fields=["fingerprint", "died_at", "id", "status", "queue", "org"],
                name="queueops_letter_fingerprint",
            ),
        ),
    ]
