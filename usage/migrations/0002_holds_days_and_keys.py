import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import usage.features


def user_field():
    return models.ForeignKey(
        db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL
    )


class Migration(migrations.Migration):
    dependencies = [
        ("usage", "0001_initial"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "user", "feature", "day", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("feature", models.CharField(choices=usage.features.feature_choices, max_length=20)),
                ("day", models.DateField()),
                ("amount", models.BigIntegerField()),
                ("cost_nanocents", models.BigIntegerField(db_default=0, default=0)),
                ("user", user_field()),
            ],
        ),
        migrations.CreateModel(
            name="UsageHold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("source", models.CharField(help_text="Who asked for it: `key:<id>` of an API key.", max_length=40)),
                ("key", models.CharField(max_length=255)),
                ("fingerprint", models.CharField(max_length=32)),
                ("model", models.CharField(blank=True, max_length=80)),
                ("amounts", models.JSONField()),
                (
                    "settled",
                    models.JSONField(blank=True, help_text="What it was settled with: {feature: amount}.", null=True),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("settled", "Settled"),
                            ("released", "Released"),
                            ("expired", "Expired"),
                        ],
                        default="open",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(help_text="The use counts in the window of this moment.")),
                ("expires_at", models.DateTimeField()),
                ("ended_at", models.DateTimeField(blank=True, null=True)),
                ("user", user_field()),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("state", "open")), fields=["expires_at"], name="open_holds"),
                    models.Index(
                        condition=models.Q(("state", "open")),
                        fields=["user", "expires_at"],
                        name="open_holds_of_a_user",
                    ),
                ],
                "constraints": [models.UniqueConstraint(fields=("source", "key"), name="one_hold_per_key")],
            },
        ),
        migrations.CreateModel(
            name="UsageKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "source", "key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("source", models.CharField(max_length=40)),
                ("key", models.CharField(max_length=255)),
                (
                    "fingerprint",
                    models.CharField(help_text="Hash of the event as sent: another body is refused.", max_length=32),
                ),
                (
                    "event_id",
                    models.BigIntegerField(help_text="Empty: it changed nothing, so there is no event.", null=True),
                ),
                ("timestamp", models.DateTimeField(db_index=True, help_text="The event's: names its partition.")),
            ],
        ),
        migrations.AddField(
            model_name="usagecounter",
            name="held",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddConstraint(
            model_name="usagecounter",
            constraint=models.CheckConstraint(
                condition=models.Q(("held__gte", 0)), name="usage_counter_held_not_negative"
            ),
        ),
        migrations.AddField(
            model_name="usageevent",
            name="cost_nanocents",
            field=models.BigIntegerField(db_default=0, default=0, help_text="What it costs, in 10^-9 cents."),
        ),
        migrations.AlterField(
            model_name="usageevent",
            name="source",
            field=models.CharField(
                help_text="Who counted it: `key:<id>` of an API key, `hold:<id>`, `try-it:<user>`.", max_length=40
            ),
        ),
        migrations.AlterField(
            model_name="usageevent",
            name="user",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
    ]
