"""Staff see what tokens cost and whether Stripe knows it."""

from datetime import timedelta

from django.utils import timezone

from billing.models import TokenCharge


def test_charges_are_listed_and_cannot_be_changed(client, staff, alice):
    now = timezone.now()
    row = TokenCharge.objects.create(
        user=alice,
        period_start=now - timedelta(days=1),
        day_start=now,
        model="opus",
        factor=2500,
        price_cents=400,
        tokens=1_000_000,
        cost_nanocents=10**12,
    )
    client.force_login(staff)
    page = client.get("/admin/billing/tokencharge/?q=alice@example.com").content.decode()
    assert "$10.000000" in page
    assert client.get("/admin/billing/meteredprice/").status_code == 200
    assert client.get(f"/admin/billing/tokencharge/{row.pk}/change/").status_code == 200
    assert client.post(f"/admin/billing/tokencharge/{row.pk}/delete/", {"post": "yes"}).status_code == 403
