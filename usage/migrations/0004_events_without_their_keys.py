from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("usage", "0003_keys_and_days_of_the_events")]
    operations = [
        migrations.RemoveConstraint(model_name="usageevent", name="usage_event_counted_once"),
        migrations.RemoveField(model_name="usageevent", name="fingerprint"),
    ]
