"""Take each mend of the libraries' pitfalls out, one at a time, and see its test fail.

    python -m benchmarks.pitfalls            all of them, each in a copy of the repository
    python -m benchmarks.pitfalls sqlite     those whose words hold this
    python -m benchmarks.pitfalls --page     write docs/pitfalls.md anew

Exit code 1 when a mend can be taken out unnoticed. datilio/tests/test_pitfalls_page.py keeps table and page true.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "pitfalls.md"


@dataclass(frozen=True)
class Mend:
    """What the library does (pitfall), where it is mended, how to take that out (`old` becomes `new`), which test
    must then fail."""

    pitfall: str
    file: str
    old: str
    new: str
    test: str


_VERIFIED = "billing/tests/test_webhook_is_verified.py::"
_CONVERGES = "billing/tests/test_webhook_converges.py::"
_LIMITS = "datilio/tests/test_rate_limits.py::"
_JSON = "datilio/tests/test_json_input.py::test_what_cannot_be_read_or_stored_is_refused"

MENDS = [
    # --- dj-stripe
    Mend(
        'sqlite: some of concurrent webhooks fail with "database is locked"; IMMEDIATE is the lock per customer, too',
        "datilio/settings.py",
        '"transaction_mode": "IMMEDIATE"',
        '"transaction_mode": "DEFERRED"',
        _CONVERGES + "test_four_at_once",
    ),
    Mend(
        "Its handler fetched and saved before a failure of ours: nothing of it may stay, or the repeat is a duplicate",
        "billing/webhooks.py",
        "with _lock_of(trigger.json_body) as account, transaction.atomic():",
        "with _lock_of(trigger.json_body) as account:",
        "billing/tests/test_webhook_queue.py::test_processing_that_fails_rolls_back_and_stripe_sends_it_again",
    ),
    Mend(
        "Bodies that are no event (5, null, very deep JSON) are a 500",
        "billing/webhooks.py",
        "        event = strict_loads(body)",
        '        event = __import__("json").loads(body)',
        _VERIFIED + "test_a_body_that_is_no_event_though_signed",
    ),
    Mend(
        "A signature that is not ASCII is a 500",
        "billing/webhooks.py",
        "if not signature.isascii() or len(signature) > 2000:",
        "if False:",
        _VERIFIED + "test_a_bad_signature",
    ),
    Mend(
        "Garbage in X-Forwarded-For is a 500",
        "billing/webhooks.py",
        "remote_ip=client_address(request),",
        'remote_ip=request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")[0] or None,',
        _VERIFIED + "test_garbage_in_a_forwarding_header_harms_nobody",
    ),
    Mend(
        "It stores Authorization and Cookie of the caller",
        "billing/webhooks.py",
        'headers={"Stripe-Signature": request.META["HTTP_STRIPE_SIGNATURE"]},',
        "headers=dict(request.headers),",
        _VERIFIED + "test_no_header_of_the_caller_is_stored",
    ),
    Mend(
        "A timestamp of the future always passes",
        "billing/webhooks.py",
        "if stamp > time.time() + TOLERANCE_SECONDS:",
        "if False:",
        _VERIFIED + "test_too_old_or_from_the_future",
    ),
    Mend(
        "A livemode event is accepted on a test endpoint",
        "billing/webhooks.py",
        'or event.get("livemode") is not settings.STRIPE_LIVE_MODE',
        "or False",
        _VERIFIED + "test_a_body_that_is_no_event_though_signed",
    ),
    Mend(
        "It answers customer.deleted with a second DELETE and cascades product.deleted to our prices",
        "billing/webhooks.py",
        'NEVER_MIRRORED = {"customer.deleted", "product.deleted", "price.deleted"}',
        'NEVER_MIRRORED = {"nothing"}',
        "billing/tests/test_what_is_never_mirrored.py",
    ),
    Mend(
        "Its calls have no time-out of ours",
        "billing/stripe_gateway.py",
        "    stripe.default_http_client = BoundedClient()",
        "    stripe.default_http_client = stripe.RequestsClient()",
        "billing/tests/test_stripe_out_of_reach.py::test_every_call_has_a_time_out",
    ),
    # --- stripe-python
    Mend(
        "A call that ran into its time-out is tried again twice, under the user's lock",
        "billing/stripe_gateway.py",
        "                error.should_retry = False",
        "                error.should_retry = True",
        "billing/tests/test_stripe_at_its_worst.py::test_a_call_that_ran_into_its_time_out_is_not_repeated",
    ),
    Mend(
        "Stripe remembers its own 500 for a day and answers the key with it",
        "billing/stripe_gateway.py",
        "            if not remembered or attempt == MAX_REMEMBERED_FAILURES:",
        "            if True:",
        "billing/tests/test_remembered_failures.py",
    ),
    # --- django-ratelimit
    Mend(
        "Counters out of reach are a 500, also where they should only be closed",
        "datilio/rate_limits.py",
        "            if policy.fail_closed and request.method in policy.methods:",
        "            if False:",
        _LIMITS + "test_without_counters_log_in_register_and_checkout_are_closed_and_reads_open",
    ),
    Mend(
        "Its refusal is a 403 without Retry-After",
        "datilio/errors.py",
        "    status = 429",
        "    status = 403",
        _LIMITS + "test_the_api_says_429_with_what_to_wait",
    ),
    Mend(
        "The left-most X-Forwarded-For is what the caller wrote",
        "datilio/client_address.py",
        "forwarded[-hops]",
        "forwarded[0]",
        "datilio/tests/test_client_address.py::test_the_right_most_untrusted_hop_counts",
    ),
    Mend(
        "DRF authenticates after the middleware: everybody with a token shares one bucket",
        "datilio/rate_limits.py",
        '    if scheme.lower() == "bearer":',
        '    if scheme.lower() == "nothing":',
        _LIMITS + "test_two_customers_with_tokens_behind_one_address_do_too",
    ),
    # --- simplejwt, allauth
    Mend(
        "Its token view lets in whom allauth would not: a stage that is left to pass",
        "accounts/services.py",
        "        if request.user.is_authenticated:\n            return issue_tokens(user)",
        "        if True:\n            return issue_tokens(user)",
        "accounts/tests/test_log_in_stages.py",
    ),
    Mend(
        "Tokens survive a change of the password",
        "datilio/settings.py",
        '"CHECK_REVOKE_TOKEN": True',
        '"CHECK_REVOKE_TOKEN": False',
        "accounts/tests/test_change_password.py::test_it_ends_refresh_and_access_tokens",
    ),
    Mend(
        "Optional verification logs a new account in at once, which tells a taken address apart",
        "accounts/services.py",
        "email_verification=EmailVerificationMethod.MANDATORY",
        "email_verification=EmailVerificationMethod.OPTIONAL",
        "accounts/tests/test_register.py accounts/tests/test_register_taken_address.py",
    ),
    Mend(
        "Behind a proxy everybody shares allauth's bucket; a short X-Forwarded-For is its 500",
        "accounts/adapters.py",
        "        return client_address(request)",
        "        return super().get_client_ip(request)",
        "accounts/tests/test_log_in_limits.py::test_allauth_limits_by_the_same_address_as_our_policy_table",
    ),
    # --- DRF, Django
    Mend(
        "A handler that forgets set_rollback() answers 409 and keeps the row",
        "datilio/error_rendering.py",
        "    set_rollback()\n    response = Response(",
        "    response = Response(",
        "datilio/tests/test_a_refusal_rolls_back.py",
    ),
    Mend(
        "A NUL in a text is a 500 on PostgreSQL",
        "datilio/json_input.py",
        'if "\\x00" in item:',
        "if False:",
        _JSON,
    ),
    Mend(
        "A lone surrogate is stored by sqlite and breaks every list that holds it",
        "datilio/json_input.py",
        '            item.encode("utf-8")\n',
        "",
        _JSON,
    ),
    Mend(
        "Very deep JSON is a 500",
        "datilio/json_input.py",
        "        if depth >= MAX_DEPTH:",
        "        if False:",
        _JSON,
    ),
    Mend(
        "2**31 is stored by sqlite and refused by PostgreSQL",
        "billing/models.py",
        "MAX_LIMIT = 2_147_483_647",
        "MAX_LIMIT = 2**62",
        "billing/tests/test_plans_api.py::test_bad_input_is_named_and_nothing_is_stored",
    ),
    Mend(
        "Negative prices pass without a check of the database's own",
        "billing/models.py",
        "condition=Q(price_monthly__gte=0)",
        "condition=Q(price_monthly__gte=-100)",
        "billing/tests/test_catalog.py::test_the_database_refuses_nonsense",
    ),
    Mend(
        "int(price * 100) is wrong for 4.6 % of prices",
        "billing/pricing.py",
        "int((amount * 100).quantize(Decimal(1), rounding=ROUND_HALF_UP))",
        "int(float(amount) * 100)",
        "billing/tests/test_pricing.py::test_dollars_become_cents_exactly",
    ),
    Mend(
        "More than 2.5 MB of JSON is an HTML 400",
        "datilio/error_rendering.py",
        "    if isinstance(exc, RequestDataTooBig):",
        "    if False:",
        "datilio/tests/test_errors_are_problems.py::test_too_large",
    ),
    Mend(
        "htmx puts a style element of its own into the page",
        "templates/_htmx.html",
        '"includeIndicatorStyles":false',
        '"includeIndicatorStyles":true',
        "datilio/tests/test_htmx_keeps_to_the_policy.py",
    ),
    # --- Celery
    Mend(
        "A task that is started inside a transaction runs before the commit",
        "datilio/celery.py",
        "    transaction.on_commit(send)",
        "    send()",
        "datilio/tests/test_the_queue_is_a_bell.py",
    ),
    Mend(
        "A broker that is down is a 500",
        "datilio/celery.py",
        "        except Exception:\n",
        "        except ZeroDivisionError:\n",
        "datilio/tests/test_the_queue_is_a_bell.py",
    ),
]

_PREFACE = """# The libraries' pitfalls, and the tests that hold the mends

Measured facts about dj-stripe, stripe-python, django-ratelimit, simplejwt, allauth, DRF, Django, htmx and Celery, each
mended here. `python -m benchmarks.pitfalls` takes one mend after the other out, in a copy of the repository, and sees
its test fail; `--page` writes this page; `datilio/tests/test_pitfalls_page.py` keeps it true.

| pitfall | mended in | test that fails without the mend |
| --- | --- | --- |
"""


_AFTERWORD = """
Nothing of ours that could be taken out in one place:

- `x-djstripe-webhook-secret` replaces the secret under DEBUG, but only in `WebhookEventTrigger.from_request`, which
  nobody calls here; `test_webhook_is_verified.py::test_the_debug_header_does_not_replace_the_secret` would see it.
- dj-stripe's migrations take a minute: `prepare_database` makes its tables without them, and
  `test_prepare_database.py::test_it_makes_what_the_migrations_make` compares the two.
- dj-stripe's columns are JSON and cannot be filtered on: `UserPlan` is our projection of a subscription.
- simplejwt's rotation mints several successors at once and answers 500 to a deleted user: it is not used.
  `accounts/tokens.py` has its own (`test_refresh_at_once.py`, `test_refresh.py`).
- Caches that django-ratelimit cannot count in: `test_production_refuses.py`.
- Embedded PostgreSQL wheels, gunicorn, pip-audit and schemathesis are not used; hostile inputs are corpora of tests.
"""


def page() -> str:
    """What docs/pitfalls.md holds."""
    rows = [f"| {mend.pitfall} | `{mend.file}` | `{mend.test}` |\n" for mend in MENDS]
    return _PREFACE + "".join(rows) + _AFTERWORD


def is_noticed(mend: Mend) -> bool:
    """Does its test fail without it? In a copy of the repository."""
    with tempfile.TemporaryDirectory(prefix="pitfall-") as folder:
        copy = Path(folder) / "repository"
        tracked = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in tracked.stdout.splitlines():
            if (ROOT / name).is_file():
                (copy / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, copy / name)
        mended = copy / mend.file
        text = mended.read_text()
        assert mend.old in text, f"{mend.file} does not hold {mend.old!r}"
        mended.write_text(text.replace(mend.old, mend.new, 1))
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *mend.test.split(), "-q", "-x", "-p", "no:cacheprovider"],
            cwd=copy,
            env={**os.environ, "STATE_DIR": str(Path(folder) / "state")},
            capture_output=True,
            text=True,
        )
        return done.returncode == 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="?", default="")
    parser.add_argument("--page", action="store_true")
    given = parser.parse_args()
    if given.page:
        PAGE.write_text(page())
        return 0
    wanted = [mend for mend in MENDS if given.words in f"{mend.pitfall} {mend.file} {mend.test}"]
    unnoticed = 0
    with ThreadPoolExecutor(2) as pool:
        for mend, noticed in zip(wanted, pool.map(is_noticed, wanted), strict=True):
            unnoticed += not noticed
            print(f"{'fails without it' if noticed else 'NOT NOTICED':16} {mend.pitfall}", flush=True)
    print(f"{len(wanted) - unnoticed} of {len(wanted)} mends are held by a test")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
