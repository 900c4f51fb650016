"""dj-stripe 2.11, unpatched: the calls of its handlers, and dj-stripe itself in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stripe_sandbox.tests import one_of_everything

ROOT = Path(__file__).parents[2]

DJSTRIPE = """
import json, sys
import django
from django.conf import settings

url, secret_key, webhook_secret = sys.argv[1:]
settings.configure(
    SECRET_KEY="x", USE_TZ=True, ROOT_URLCONF="djstripe.urls", STRIPE_API_HOST=url,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField", LOGGING_CONFIG=None,
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "djstripe"],
    MIGRATION_MODULES={"djstripe": None, "auth": None, "contenttypes": None},
    DJSTRIPE_FOREIGN_KEY_TO_FIELD="id", STRIPE_LIVE_MODE=False, STRIPE_TEST_SECRET_KEY=secret_key,
)
django.setup()
from django.core.management import call_command
call_command("migrate", run_syncdb=True, verbosity=0)
from django.test import RequestFactory
from djstripe import models

endpoint = models.WebhookEndpoint.objects.create(
    id="we_local", url="http://x", secret=webhook_secret, enabled_events=["*"], status="enabled",
    api_version="", livemode=False)
bad = []
for body, headers in json.load(sys.stdin):
    request = RequestFactory().post("/", body, content_type="application/json", headers=headers)
    trigger = models.WebhookEventTrigger.from_request(request, webhook_endpoint=endpoint)
    if not trigger.valid or trigger.exception:
        bad.append([json.loads(body)["type"], trigger.exception])
call_command("djstripe_sync_models", "Customer", "Product", "Price", "PaymentMethod", "Subscription",
             "Invoice", "Charge", "PaymentIntent", "Session", "SubscriptionItem", "Account",
             "WebhookEndpoint", "Event", "Refund", "SetupIntent", "BalanceTransaction", "Coupon", "Dispute",
             verbosity=0)
print("RESULT", json.dumps({
    "bad": bad,
    "subscriptions": [s.stripe_data["status"] for s in models.Subscription.objects.all()],
    "invoices": [i.stripe_data["status"] for i in models.Invoice.objects.all()],
    "charges": sorted(c.stripe_data["status"] for c in models.Charge.objects.all()),
    "customers": models.Customer.objects.count(),
    "cards": models.PaymentMethod.objects.count(),
    "sessions": [s.stripe_data["status"] for s in models.Session.objects.all()],
    "refunds": [r.stripe_data["status"] for r in models.Refund.objects.all()],
    "coupons": models.Coupon.objects.count(),
    "balance": models.BalanceTransaction.objects.count() > 0,
    "events": models.Event.objects.count(),
}))
"""


@pytest.mark.slow
def test_djstripe_takes_every_event_and_syncs_every_model(stripe, client, checkout, ada):
    session = checkout()
    with pytest.raises(Exception, match="declined"):
        stripe.pay(session.id, card="4000000000000002")
    subscription = stripe.pay(session.id)["subscription"]
    client.v1.subscriptions.update(subscription, {"cancel_at_period_end": True})
    client.v1.products.update(stripe.objects("product")[0]["id"], {"description": "x"})
    client.v1.coupons.create({"percent_off": 10, "duration": "once"})
    [charge] = [c for c in stripe.objects("charge") if c["status"] == "succeeded"]
    client.v1.refunds.create({"charge": charge["id"], "amount": 100})
    meter = client.v1.billing.meters.create(
        {"display_name": "Tokens", "event_name": "tokens", "default_aggregation": {"formula": "sum"}}
    )
    metered = {"interval": "month", "usage_type": "metered", "meter": meter.id}
    tiers = [{"up_to": 10, "unit_amount": 5}, {"up_to": "inf", "unit_amount_decimal": "0.5"}]
    client.v1.prices.create(
        {
            "product": stripe.objects("product")[0]["id"],
            "currency": "usd",
            "recurring": metered,
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": tiers,
        }
    )
    events = [(delivery.body.decode(), delivery.headers) for delivery in stripe.take_deliveries()]
    for _, headers in events:
        headers.pop("Content-Type")

    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "ignore",
            "-c",
            DJSTRIPE,
            stripe.url,
            stripe.secret_key,
            stripe.webhook_secret,
        ],
        input=json.dumps(events),
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert "RESULT" in done.stdout, done.stdout[-2000:] + done.stderr[-3000:]
    result = json.loads(done.stdout.split("RESULT", 1)[1])
    assert result["bad"] == []
    assert result == {
        "bad": [],
        "subscriptions": ["active"],
        "invoices": ["paid"],
        "charges": ["failed", "succeeded"],
        "customers": 1,
        "cards": 2,  # the declined one too: its charge names it
        "sessions": ["complete"],
        "refunds": ["succeeded"],
        "coupons": 1,
        "balance": True,
        "events": len(events),
    }
    assert "Traceback" not in done.stderr


SYNC = (
    DJSTRIPE.split("from django.test import RequestFactory")[0]
    + """
import io
from django.apps import apps

broken = sys.stdin.read().split()
names = [model.__name__ for model in apps.get_app_config("djstripe").get_models()]
names = [name for name in names if name not in broken and name != "AccountV2"]
call_command("djstripe_sync_models", *names)
refused = io.StringIO()
call_command("djstripe_sync_models", *broken, stderr=refused)
rows = {}
for name in names:
    model = apps.get_model("djstripe", name)
    if any(field.name == "stripe_data" for field in model._meta.fields):
        rows[name] = {row.id: row.stripe_data for row in model.objects.all()}
print("RESULT", json.dumps({"rows": rows, "refused": refused.getvalue()}, default=str))
"""
)

# dj-stripe's model -> the sandbox's type of object.
SYNCED = {
    "Account": "account",
    "BalanceTransaction": "balance_transaction",
    "Charge": "charge",
    "Coupon": "coupon",
    "Customer": "customer",
    "Dispute": "dispute",
    "Event": "event",
    "Invoice": "invoice",
    "InvoiceItem": "invoiceitem",
    "LineItem": "line_item",
    "PaymentIntent": "payment_intent",
    "PaymentMethod": "payment_method",
    "Price": "price",
    "Product": "product",
    "PromotionCode": "promotion_code",
    "Refund": "refund",
    "Session": "checkout.session",
    "SetupIntent": "setup_intent",
    "Subscription": "subscription",
    "SubscriptionItem": "subscription_item",
    "SubscriptionSchedule": "subscription_schedule",
    "WebhookEndpoint": "webhook_endpoint",
}
# These fail at Stripe as well: dj-stripe 2.11 leaves out a parameter that Stripe demands, adds one that Stripe does not
# know, and cannot store what it gets (StripeObject is no dict any more). A fourth, AccountV2, asks api.stripe.com
# whatever STRIPE_API_HOST says: its client cannot be pointed anywhere else.
BROKEN = {
    "TaxId": "Error listing TaxId: InvalidRequestError(message='Received unknown parameter: id'",
    "ActiveEntitlement": "Error listing ActiveEntitlement: InvalidRequestError(message='Missing required param",
    "CountrySpec": "Error syncing US: TypeError('Object of type StripeObject is not JSON serializable')",
}


@pytest.mark.slow
def test_djstripe_sync_models_copies_everything(stripe, client):
    one_of_everything.fill(stripe, client)
    command = [sys.executable, "-W", "ignore", "-c", SYNC, stripe.url, stripe.secret_key, stripe.webhook_secret]
    done = subprocess.run(command, input=" ".join(BROKEN), capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert "RESULT" in done.stdout, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stderr == ""  # where it tells of everything that it could not sync
    result = json.loads(done.stdout.split("RESULT", 1)[1])
    for error in BROKEN.values():
        assert error in result["refused"]
    rows = result["rows"]
    assert set(SYNCED) <= set(rows)
    for model, object_type in SYNCED.items():
        shown = {one["id"]: one for one in stripe.objects(object_type)}
        assert shown, f"no {object_type} was made"
        assert set(rows[model]) == set(shown), model
        for object_id, stored in rows[model].items():
            plain = {key: value for key, value in shown[object_id].items() if not isinstance(value, dict | list)}
            for key, value in plain.items():
                if not isinstance(stored[key], dict):  # expanded
                    assert stored[key] == value, (model, object_id, key)
    others = {model: found for model, found in rows.items() if model not in SYNCED and found}
    assert set(others) <= {"APIKey", "Discount", "TaxCode"}, others


def test_the_calls_of_its_handlers(http, client, ada, pro, subscription):
    [charge] = client.v1.charges.list({"customer": ada.id}).data
    [session] = client.v1.checkout.sessions.list({"customer": ada.id}).data
    calls = [
        ("/v1/account", []),
        ("/v1/accounts", []),
        (f"/v1/products/{pro.product}", []),
        (f"/v1/products/{pro.product}/features", []),
        (f"/v1/prices/{pro.id}", ["currency_options", "product", "tiers"]),
        (f"/v1/customers/{ada.id}", ["default_source", "sources"]),
        (f"/v1/customers/{ada.id}/sources?object=card", []),
        (f"/v1/payment_methods?customer={ada.id}&type=card", []),
        (f"/v1/payment_methods/{subscription.default_payment_method}", []),
        (
            f"/v1/checkout/sessions/{session.id}",
            ["line_items", "total_details.breakdown", "line_items.data.discounts"],
        ),
        (f"/v1/subscriptions/{subscription.id}", []),
        (f"/v1/subscription_items?subscription={subscription.id}", []),
        (f"/v1/invoices/{subscription.latest_invoice}", ["discounts", "lines.data.discounts"]),
        (f"/v1/charges/{charge.id}", ["balance_transaction"]),
        (f"/v1/payment_intents/{charge.payment_intent}", []),
    ]
    for path, expand in calls:
        answer = http.get(path, params={f"expand[{n}]": e for n, e in enumerate(expand)} if expand else None)
        assert answer.status_code == 200, (path, answer.text)
