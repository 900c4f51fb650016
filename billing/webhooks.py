"""Receive, verify, store, process Stripe's events.

A webhook is a doorbell: it never says what happened, only that it is time to look. Verification is ours, because
dj-stripe stores before it verifies and answers 500 to a garbled body (tests/test_webhook_is_verified.py). What is
verified goes into dj-stripe's inbox; then dj-stripe keeps the event and its mirror of the object, and billing/sync.py
asks Stripe for the truth.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import stripe
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.db import transaction
from django.http import HttpRequest
from djstripe.models import Event, WebhookEndpoint, WebhookEventTrigger

from billing import notices, stripe_gateway
from billing.customers import let_go, locked_account
from billing.models import BillingAccount
from billing.sync import sync_locked
from datilio.celery import ring
from datilio.client_address import client_address
from datilio.errors import DomainError
from datilio.json_input import strict_loads

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1_048_576
TOLERANCE_SECONDS = 300

# Family of event types -> why we look at it. Other types are answered `ignored` and not stored.
FAMILIES = {
    "customer.subscription.": "a plan began, changed or ended",
    "checkout.session.": "a purchase on Stripe's page was finished or ran out",
    "invoice.": "a period was billed, paid or not",
    "subscription_schedule.": "a change of plan was scheduled or taken back",
    "charge.": "money moved: paid, refunded, disputed",
    "customer.": "address, card or name of a customer changed",
    "payment_method.": "a card came, changed or went",
    "product.": "what Stripe shows of a plan",
    "price.": "what Stripe sells of a plan",
}
# dj-stripe answers these with a second DELETE, or cascades a local delete to our prices: the mirror keeps its row.
NEVER_MIRRORED = {"customer.deleted", "product.deleted", "price.deleted"}


class WebhookRefused(DomainError):
    code = "webhook_refused"
    message = "This is not an event that Stripe signed for us."
    status = 400


def receive(request: HttpRequest) -> str:
    """Take one POST of Stripe's. Returns processed | queued | duplicate | ignored.

    Raises WebhookRefused (nothing is stored), or what processing raised (Stripe sends it again).
    """
    try:
        body = request.body
    except RequestDataTooBig as exc:
        raise WebhookRefused() from exc
    if len(body) > MAX_BODY_BYTES:
        raise WebhookRefused()
    event = _verified_event(body, request.META.get("HTTP_STRIPE_SIGNATURE", ""))
    if event["type"] == "customer.deleted":
        return _let_go_of_deleted(event)
    if event["type"] in NEVER_MIRRORED or not event["type"].startswith(tuple(FAMILIES)):
        return "ignored"
    if Event.objects.filter(id=event["id"]).exists():
        return "duplicate"
    trigger = _store(body, request)
    if settings.CELERY_TASK_ALWAYS_EAGER:
        return process(trigger.pk)
    from billing.tasks import process_webhook

    ring(process_webhook, trigger.pk)
    return "queued"


def process(trigger_id: int) -> str:
    """Do what a stored event asks for, once, however many times and at once it came. "processed" or "duplicate".

    One transaction under the user's billing lock: dj-stripe fetches and saves the object, then the plan is synced. The
    lock comes first, so of two events about one subscription the later look is also written last.
    """
    trigger = WebhookEventTrigger.objects.get(pk=trigger_id)
    try:
        # The inner transaction, because the lock keeps what was written before a DomainError: of an event that could
        # not be processed to its end nothing may stay, or its repeat would be taken for a duplicate.
        with _lock_of(trigger.json_body) as account, transaction.atomic():
            trigger = WebhookEventTrigger.objects.select_for_update().get(pk=trigger_id)
            if trigger.processed:
                return "duplicate"
            known = Event.objects.filter(id=trigger.json_body["id"]).first()
            if known:
                trigger.event, trigger.processed = known, True
                trigger.save()
                return "duplicate"
            trigger.process(api_key=settings.STRIPE_SECRET_KEY)
            if account:
                event_type = trigger.json_body["type"]
                sync_locked(account, disputes=event_type.startswith("charge.dispute."))
                is_refund = event_type.startswith("charge.refund")
                notices.note_money(account, bills=event_type == "invoice.paid", refunds=is_refund)
                if event_type == "invoice.created":
                    # A renewal's draft, which takes for an hour yet what was used before it.
                    from billing.tasks import report_token_usage

                    ring(report_token_usage, account.user_id)
            return "processed"
    except Exception as exc:
        WebhookEventTrigger.objects.filter(pk=trigger_id, processed=False).update(
            exception=type(exc).__name__[:128], traceback=str(exc)[:4000]
        )
        raise


def process_or_log(trigger_id: int) -> None:
    """process for a sweep: one event that fails does not keep the others waiting."""
    try:
        process(trigger_id)
    except Exception:
        logger.exception("The event of trigger %s could not be processed; the next sweep tries again", trigger_id)


# --- verify -----------------------------------------------------------------------------------------------------------


def _verified_event(body: bytes, signature: str) -> dict[str, Any]:
    """The event in the body, if Stripe signed it for us and lately. Raises WebhookRefused, whatever the input."""
    try:
        text = body.decode("utf-8")
        stamp = int(dict(part.split("=", 1) for part in signature.split(","))["t"])
        if not signature.isascii() or len(signature) > 2000:
            raise WebhookRefused()
        # The SDK looks at the past only: a signature dated ahead would stay good until then.
        if stamp > time.time() + TOLERANCE_SECONDS:
            raise WebhookRefused()
        stripe.WebhookSignature.verify_header(text, signature, settings.STRIPE_WEBHOOK_SECRET, TOLERANCE_SECONDS)
        event = strict_loads(body)
    except (ValueError, KeyError, stripe.SignatureVerificationError) as exc:
        raise WebhookRefused() from exc
    if (
        not isinstance(event, dict)
        or event.get("object") != "event"
        or not _is_word(event.get("id"), "evt_")
        or not _is_word(event.get("type"))
        or event.get("livemode") is not settings.STRIPE_LIVE_MODE
        or not isinstance(event.get("data"), dict)
        or not isinstance(event["data"].get("object"), dict)
    ):
        raise WebhookRefused()
    return event


def _is_word(value: Any, prefix: str = "") -> bool:
    return isinstance(value, str) and value.startswith(prefix) and 0 < len(value) <= 255


def _store(body: bytes, request: HttpRequest) -> WebhookEventTrigger:
    """The inbox row of a verified event.

    Made here and not by dj-stripe's from_request, which keeps the caller's Authorization and Cookie, believes its
    X-Forwarded-For (garbage in it is a 500), lets a header replace the secret under DEBUG, and saves the row once more
    after processing, over what a fast task has written.
    """
    return WebhookEventTrigger.objects.create(
        headers={"Stripe-Signature": request.META["HTTP_STRIPE_SIGNATURE"]},
        body=body.decode(),
        remote_ip=client_address(request),
        valid=True,
        webhook_endpoint=_endpoint(),
    )


def _endpoint() -> WebhookEndpoint:
    """dj-stripe's row for our one URL, with the secret of the settings."""
    endpoint, _ = WebhookEndpoint.objects.get_or_create(
        id="we_local",
        defaults={
            "url": f"{settings.BASE_URL}/api/stripe/webhook",
            "secret": settings.STRIPE_WEBHOOK_SECRET,
            "enabled_events": ["*"],
            "status": "enabled",
            "api_version": "",
            "livemode": settings.STRIPE_LIVE_MODE,
        },
    )
    if endpoint.secret != settings.STRIPE_WEBHOOK_SECRET:
        endpoint.secret = settings.STRIPE_WEBHOOK_SECRET
        endpoint.save(update_fields=["secret"])
    return endpoint


# --- process ----------------------------------------------------------------------------------------------------------


def _lock_of(event: dict[str, Any]) -> AbstractContextManager[BillingAccount | None]:
    """A transaction that holds the billing lock of the user whom the event is about; of nobody: one at a time."""
    customer_id = _customer_of(event)
    user_id = (
        BillingAccount.objects.filter(stripe_customer_id=customer_id).values_list("user_id", flat=True).first()
        if customer_id
        else None
    )
    return locked_account(user_id) if user_id else _lock_of_nobody()


@contextmanager
def _lock_of_nobody() -> Iterator[None]:
    with transaction.atomic():
        WebhookEndpoint.objects.select_for_update().get(pk=_endpoint().pk)
        yield None


def _let_go_of_deleted(event: dict[str, Any]) -> str:
    """The plans of a customer that was deleted at Stripe ended with it. Not stored: when Stripe does not answer now it
    sends the event again, and the reconcile looks too."""
    customer_id = _customer_of(event)
    known = BillingAccount.objects.filter(stripe_customer_id=customer_id).first() if customer_id else None
    if known is None or customer_id is None:
        return "ignored"
    with locked_account(known.user_id) as account:
        if account.stripe_customer_id != customer_id:
            return "ignored"
        if stripe_gateway.customer_is_deleted(customer_id):
            sync_locked(account)
            let_go(account)
    return "processed"


def _customer_of(event: dict[str, Any]) -> str | None:
    thing = event["data"]["object"]
    if thing.get("object") == "dispute" and _is_word(thing.get("charge")):
        # A dispute names the charge only.
        return stripe_gateway.customer_of_charge(thing["charge"])
    customer = thing.get("id") if thing.get("object") == "customer" else thing.get("customer")
    return customer if isinstance(customer, str) else None
