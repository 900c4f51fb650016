"""Made-up facts for every mail, for /styleguide/mails and for the tests that look at all of them."""

from typing import Any

_URL = "http://127.0.0.1:12111/i/acct_sample/test_sample"
_PRO = {"plan": "DataPilot Pro", "months": 1, "cents": 2900}
_NEXT = {"next_cents": 2900, "next_at": "2026-12-23T12:04:00Z", "card": "Visa ending in 4242", "tokens": True}
_FAILED = {
    **_PRO,
    "url": _URL,
    "card": "Visa ending in 4242",
    "access_until": "2026-11-30T12:04:00Z",
    "again_at": "2026-11-26T12:04:00Z",
    "cause": "The card has insufficient funds.",
}
_RECEIPT = {
    "plan": "DataPilot Pro",
    "number": "8F2K-0001",
    "paid_cents": 2900,
    "at": "2026-11-23T12:04:00Z",
    "lines": [{"text": "1 × DataPilot Pro (at $29.00 / month)", "cents": 2900}],
    "discount_cents": 0,
    "tax_cents": 0,
    "credit_cents": 0,
    "url": _URL,
    **_NEXT,
}
_ENDED = {**_PRO, "at": "2026-12-23T12:04:00Z"}

# Name in the address -> (kind of BillingMail, title on the page, facts).
SAMPLES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "receipt": ("receipt", "Receipt", _RECEIPT),
    "receipt-of-an-upgrade": (
        "receipt",
        "Receipt of an upgrade",
        {
            **_RECEIPT,
            "plan": "Datilio Team",
            "number": "8F2K-0002",
            "paid_cents": 3230,
            "lines": [
                {"text": "Unused time on DataPilot Pro after 3 Dec 2026", "cents": -1970},
                {"text": "Remaining time on Datilio Team after 3 Dec 2026", "cents": 6700},
            ],
            "discount_cents": 1000,
            "credit_cents": 500,
            "next_cents": 9900,
        },
    ),
    "payment-failed": ("payment_failed", "Payment failed", _FAILED),
    "payment-failed-for-good": (
        "payment_failed",
        "Payment failed, access ended",
        {**_FAILED, "access_until": None, "again_at": None, "cause": "The card has expired."},
    ),
    "action-required": (
        "action_required",
        "The bank asks, at renewal",
        {**_FAILED, "until": "2026-11-30T12:04:00Z", "is_upgrade": False},
    ),
    "action-required-for-an-upgrade": (
        "action_required",
        "The bank asks, for an upgrade",
        {
            "plan": "Datilio Team",
            "was_plan": "DataPilot Pro",
            "cents": 4730,
            "url": _URL,
            "until": "2026-11-24T11:04:00Z",
            "is_upgrade": True,
        },
    ),
    "changed": (
        "changed",
        "Plan changed now",
        {
            "plan": "Datilio Team",
            "months": 1,
            "cents": 9900,
            "was_plan": "DataPilot Pro",
            "was_months": 1,
            "was_cents": 2900,
            "as_scheduled": False,
            **_NEXT,
            "next_cents": 9900,
        },
    ),
    "paid-by-the-year": (
        "changed",
        "Paid by the year now",
        {
            **_PRO,
            "months": 12,
            "cents": 29000,
            "was_plan": "DataPilot Pro",
            "was_months": 1,
            "was_cents": 2900,
            "as_scheduled": False,
            "next_cents": 29000,
            "next_at": "2027-11-23T12:04:00Z",
            "card": "Visa ending in 4242",
        },
    ),
    "change-scheduled": (
        "change_scheduled",
        "Change scheduled",
        {**_PRO, "was_plan": "Datilio Team", "at": "2026-12-23T12:04:00Z"},
    ),
    "cancel-scheduled": (
        "cancel_scheduled",
        "Cancellation scheduled",
        {**_PRO, "until": "2026-12-23T12:04:00Z", "tokens": True},
    ),
    "ended-as-cancelled": ("ended", "Ended as cancelled", {**_ENDED, "why": "as_cancelled"}),
    "ended-at-once": ("ended", "Ended at once", {**_ENDED, "why": "cancelled"}),
    "ended-unpaid": ("ended", "Ended, not paid", {**_ENDED, "why": "unpaid"}),
    "ended-card-had-trial": ("ended", "The card has had its trial", {**_ENDED, "why": "card_had_trial"}),
    "ended-disputed": ("ended", "Ended, payment disputed", {**_ENDED, "why": "disputed"}),
    "ended-grant": ("ended", "A gift is over", {**_ENDED, "why": "grant_over"}),
    "ended-grant-early": ("ended", "A gift was taken back", {**_ENDED, "why": "grant_ended"}),
    "started-free": ("started", "Free plan started", {"plan": "Explorer", "months": 1, "cents": 0}),
    "started-trial": (
        "started",
        "Trial started",
        {**_PRO, **_NEXT, "next_at": "2026-12-07T12:04:00Z", "trial_end": "2026-12-07T12:04:00Z"},
    ),
    "trial-ending": (
        "trial_ending",
        "Trial ending",
        {**_PRO, **_NEXT, "next_at": "2026-12-07T12:04:00Z", "at": "2026-12-07T12:04:00Z"},
    ),
    "trial-ending-no-card": (
        "trial_ending",
        "Trial ending, no card",
        {**_PRO, **_NEXT, "next_at": "2026-12-07T12:04:00Z", "at": "2026-12-07T12:04:00Z", "card": ""},
    ),
    "card-expiring": ("card_expiring", "Card expiring", {**_PRO, **_NEXT, "expires": "November 2026"}),
    "renewal": (
        "renewal",
        "Yearly renewal ahead",
        {**_PRO, **_NEXT, "months": 12, "cents": 29000, "next_cents": 29000},
    ),
    "refunded": ("refunded", "Refund", {"cents": 1450, "at": "2026-11-23T12:04:00Z"}),
    "replaced": (
        "replaced",
        "Bought twice",
        {
            "plan": "Datilio Team",
            "was_plan": "DataPilot Pro",
            "refunded_cents": 2899,
            "at": "2026-11-23T12:04:00Z",
        },
    ),
    "granted": (
        "granted",
        "Given by staff",
        {**_PRO, "until": "2026-12-23T12:04:00Z", "reason": "For your patience during the outage"},
    ),
}
