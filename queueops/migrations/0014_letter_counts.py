from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0013_letter_errors")]

    operations = [
        migrations.AddIndex(
            model_name="deadletter",
            index=models.Index(fields=["status", "queue"], name="queueops_letter_counts"),
        ),
    ]
