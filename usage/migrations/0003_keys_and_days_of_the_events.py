"""The keys move out of the events, and each day gets its total. Apart from the change of the tables: PostgreSQL alters
none that has rows with pending checks."""

from datetime import UTC

from django.db import migrations
from django.db.models import F, Sum
from django.db.models.functions import Substr, TruncDate


def copy(apps, schema_editor):
    UsageEvent, UsageKey, UsageDay = (apps.get_model("usage", name) for name in ("UsageEvent", "UsageKey", "UsageDay"))
    events = UsageEvent.objects.order_by().values(
        "source", "key", "timestamp", event_id=F("id"), short=Substr("fingerprint", 1, 32)
    )
    UsageKey.objects.bulk_create(
        (
            UsageKey(
                source=e["source"],
                key=e["key"],
                fingerprint=e["short"],
                event_id=e["event_id"],
                timestamp=e["timestamp"],
            )
            for e in events.iterator(chunk_size=5000)
        ),
        batch_size=5000,
    )
    days = (
        UsageEvent.objects.order_by()
        .annotate(day=TruncDate("timestamp", tzinfo=UTC))
        .values("user_id", "feature", "day")
        .annotate(total=Sum("amount"))
    )
    UsageDay.objects.bulk_create(
        (
            UsageDay(user_id=d["user_id"], feature=d["feature"], day=d["day"], amount=d["total"])
            for d in days.iterator(chunk_size=5000)
        ),
        batch_size=5000,
    )


class Migration(migrations.Migration):
    dependencies = [("usage", "0002_holds_days_and_keys")]
    operations = [migrations.RunPython(copy, migrations.RunPython.noop)]
