from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("queueops", "0015_pauses_apart")]

    operations = [
        migrations.AddField(
            model_name="alert",
            name="telling_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
    ]
