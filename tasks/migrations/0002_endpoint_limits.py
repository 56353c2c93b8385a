from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tasks", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="endpoint",
            name="rate",
            field=models.CharField(
                blank=True,
                help_text="Deliveries that start, as 10/s, 100/m or 1000/h. Empty: as the settings say.",
                max_length=32,
                default="",
            ),
            preserve_default=False,
        ),
        migrations.AddField(
            model_name="endpoint",
            name="max_in_flight",
            field=models.PositiveIntegerField(
                blank=True, help_text="Deliveries at once. Empty: as the settings say.", null=True
            ),
        ),
    ]
