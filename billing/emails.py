"""The words of every mail about money: a kind and its facts -> subject, text and HTML.

Text and HTML are made of the same parts, so that they cannot say different things. Facts are plain JSON (the outbox
keeps them): cents (USD), names, ISO times in UTC. Every mail has one button, names the zone of its times, and says
nothing that sells. See /styleguide/mails.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.template.loader import render_to_string
from django.urls import reverse

from datilio.templatetags.writing import cents as dollars
from datilio.templatetags.writing import day_text, every, moment_text

Facts = dict[str, Any]


@dataclass(frozen=True)
class Letter:
    """What a mail says. rows: (label, value), below the paragraphs."""

    subject: str
    heading: str
    paragraphs: list[str]
    button: str
    url: str
    rows: list[tuple[str, str]] = field(default_factory=list)
    small: str = ""


@dataclass(frozen=True)
class Written:
    subject: str
    text: str
    html: str


def write(kind: str, facts: Facts) -> Written:
    """The mail of this kind (BillingMail.Kind) as it is sent."""
    letter = LETTERS[kind](facts)
    context = {"letter": letter}
    return Written(
        # One line: a plan's name comes from people.
        subject=" ".join(letter.subject.split()),
        text=render_to_string("email/letter.txt", context),
        html=render_to_string("email/letter.html", context),
    )


# --- a plan begins ----------------------------------------------------------------------------------------------------


def _started(facts: Facts) -> Letter:
    plan, trial_end = facts["plan"], facts.get("trial_end")
    if trial_end:
        subject = f"Your trial of {plan} has begun"
        said = [f"{plan} is free for you until {moment_text(trial_end)}. Every limit of the plan is open to you now."]
        said.append(_what_follows_a_trial(facts))
    else:
        subject = f"You are on {plan}"
        said = ["Nothing was charged. Every limit of the plan is open to you now."]
    return Letter(subject, subject, said, *_see_your_plan(), rows=[] if trial_end else _next_charge(facts))


def _what_follows_a_trial(facts: Facts) -> str:
    if facts.get("next_cents") is None:
        return "Nothing is charged when it ends."
    to = f" to {facts['card']}" if facts["card"] else ""
    price = _price(facts["cents"], facts["months"])
    return (
        f"Then {dollars(facts['next_cents'])} is charged{to}, and the plan goes on at {price}. "
        "Cancel before that moment and nothing is charged."
    )


def _granted(facts: Facts) -> Letter:
    subject = f"You have been given {facts['plan']}"
    said = ["It costs you nothing, ends by itself, and nothing is charged afterwards."]
    rows = [("Until", moment_text(facts["until"])), ("Why", facts["reason"])]
    return Letter(subject, subject, said, *_see_your_plan(), rows=rows)


# --- money that came, and money that was given back -------------------------------------------------------------------


def _receipt(facts: Facts) -> Letter:
    paid = dollars(facts["paid_cents"])
    rows = [(line["text"], _signed(line["cents"])) for line in facts["lines"]]
    for label, name, sign in (
        ("Discount", "discount_cents", -1),
        ("Tax", "tax_cents", 1),
        ("Credit", "credit_cents", -1),
    ):
        if facts[name]:
            rows.append((label, _signed(sign * facts[name])))
    rows += [("Paid", paid), ("Paid on", moment_text(facts["at"])), ("Invoice", facts["number"])]
    plan = f" for {facts['plan']}" if facts["plan"] else ""
    return Letter(
        f"Receipt: {paid}{plan}",
        f"We have received {paid}",
        [f"Thank you. This is the receipt of your payment{plan}."],
        "See the invoice" if facts["url"] else "See your plan",
        facts["url"] or _account_url(),
        rows=rows + _next_charge(facts),
        small="The invoice can be saved as a PDF from that page. All amounts are in US dollars.",
    )


def _refunded(facts: Facts) -> Letter:
    amount = dollars(facts["cents"])
    said = [
        f"We have refunded {amount} on {moment_text(facts['at'])}.",
        "It goes back to what you paid with. A bank can take up to ten days to show it.",
    ]
    return Letter(f"Refund of {amount}", f"We have refunded {amount}", said, "See your invoices", _billing_url())


def _replaced(facts: Facts) -> Letter:
    plan, older = facts["plan"], facts["was_plan"]
    what = f"{plan} twice" if plan == older else f"{older} and {plan}"
    said = [
        f"You bought {what} at almost the same time. You can have one plan, and it is the newer one: {plan}.",
        f"The older purchase ended on {moment_text(facts['at'])}.",
    ]
    if facts["refunded_cents"]:
        said.append(
            f"What was paid for it and not used, {dollars(facts['refunded_cents'])}, was refunded. "
            "A bank can take up to ten days to show it."
        )
    else:
        said.append("Nothing was left of what was paid for it, so nothing was refunded.")
    heading = "The older one was refunded" if facts["refunded_cents"] else "The older one has ended"
    return Letter(f"You bought twice. {heading}", f"You bought twice. {heading}", said, *_see_your_plan())


# --- money that is missing --------------------------------------------------------------------------------------------


def _payment_failed(facts: Facts) -> Letter:
    amount = dollars(facts["cents"])
    card = f" ({facts['card']})" if facts["card"] else ""
    said = [f"The payment of {amount} for {facts['plan']} did not go through{card}. {_cause(facts)}"]
    rows = _access(facts)
    rows.append(("Next try of the card", moment_text(facts["again_at"]) if facts["again_at"] else "None"))
    return Letter(
        f"Your payment of {amount} failed",
        "Your payment failed",
        said,
        f"Pay {amount}" if facts["url"] else "Go to your plan",
        facts["url"] or _account_url(),
        rows=rows,
        small="You can pay with another card there. Later bills are charged to the card in your account.",
    )


def _cause(facts: Facts) -> str:
    return facts["cause"] or "There is no card to charge."


def _access(facts: Facts) -> list[tuple[str, str]]:
    until = facts["access_until"]
    return [("Access until", moment_text(until))] if until else [("Access", "None until the bill is paid")]


def _action_required(facts: Facts) -> Letter:
    amount = dollars(facts["cents"])
    if facts["is_upgrade"]:
        said = [
            f"Your bank wants you to confirm the payment of {amount} for your change from {facts['was_plan']} to "
            f"{facts['plan']}. The plan changes as soon as you have.",
            "Until then nothing is charged and you keep your present plan.",
        ]
        rows = [("Can be confirmed until", moment_text(facts["until"]))] if facts["until"] else []
    else:
        said = [f"Your bank wants you to confirm the payment of {amount} for {facts['plan']}. Nothing was charged yet."]
        rows = _access(facts)
    return Letter(
        f"Confirm your payment of {amount}",
        "Your bank wants you to confirm a payment",
        said,
        "Confirm the payment" if facts["url"] else "Go to your plan",
        facts["url"] or _account_url(),
        rows=rows,
    )


# --- a plan changes or ends -------------------------------------------------------------------------------------------


def _changed(facts: Facts) -> Letter:
    plan, was = facts["plan"], facts["was_plan"]
    subject = f"You are on {plan} now" if plan != was else f"{plan} is paid {_by(facts['months'])} now"
    scheduled = " as scheduled" if facts["as_scheduled"] else ""
    said = [f"Your plan has changed{scheduled}."]
    rows = [
        ("Before", f"{was}, {_price(facts['was_cents'], facts['was_months'])}"),
        ("Now", f"{plan}, {_price(facts['cents'], facts['months'])}"),
    ]
    return Letter(subject, subject, said, *_see_your_plan(), rows=rows + _next_charge(facts))


def _change_scheduled(facts: Facts) -> Letter:
    plan, was = facts["plan"], facts["was_plan"]
    to = plan if plan != was else f"{plan}, paid {_by(facts['months'])}"
    keep = was if plan != was else "your present plan"
    return Letter(
        f"Your plan changes on {day_text(facts['at'])} (UTC)",
        f"Your plan changes to {to}",
        [f"You keep {keep} with all its limits until then. Nothing was charged for the change."],
        f"Keep {keep}",
        _account_url(),
        rows=[("Changes on", moment_text(facts["at"])), ("From then", _price(facts["cents"], facts["months"]))],
        small="This leads to your account, where one click takes the change back.",
    )


def _cancel_scheduled(facts: Facts) -> Letter:
    plan, until = facts["plan"], moment_text(facts["until"])
    return Letter(
        f"{plan} is cancelled. You have access until {day_text(facts['until'])} (UTC)",
        f"{plan} is cancelled",
        [
            f"You have access until {until}. "
            + (
                "Only the AI tokens that you have used are charged then, and nothing after it."
                if facts.get("tokens")
                else "Nothing is charged any more."
            )
        ],
        f"Keep {plan}",
        _account_url(),
        small="This leads to your account, where one click takes the cancellation back until that moment.",
    )


WHY_ENDED = {
    "grant_over": "The time for which it was given to you is over.",
    "grant_ended": "We have taken it back.",
    "card_had_trial": (
        "The card that you gave has had its free trial with another account, and there is one per card. "
        "Nothing was charged. You can buy the plan without a trial."
    ),
    "disputed": "Your bank took back a payment for it.",
    "unpaid": "The last payment for it did not go through.",
    "as_cancelled": "You had cancelled it for this moment.",
    "cancelled": "It was cancelled.",
}


def _ended(facts: Facts) -> Letter:
    said = [
        f"{facts['plan']} ended on {moment_text(facts['at'])}. {WHY_ENDED[facts['why']]}",
        "Nothing is charged any more.",
    ]
    subject = f"{facts['plan']} has ended"
    return Letter(subject, subject, said, "See the plans", settings.BASE_URL + reverse("pricing"))


# --- what is coming ---------------------------------------------------------------------------------------------------


def _trial_ending(facts: Facts) -> Letter:
    subject = f"Your trial of {facts['plan']} ends on {day_text(facts['at'])} (UTC)"
    said = [f"It ends on {moment_text(facts['at'])}. {_what_follows_a_trial(facts)}"]
    small = "" if facts["card"] else "There is no card to charge yet. Add one in your account to keep the plan."
    return Letter(subject, f"Your trial of {facts['plan']} is about to end", said, *_see_your_plan(), small=small)


def _card_expiring(facts: Facts) -> Letter:
    said = [
        f"{facts['card']} expires at the end of {facts['expires']}, before {facts['plan']} is charged the next time. "
        "If your bank has sent you a new card, put it in its place."
    ]
    subject = "Your card expires before the next charge"
    return Letter(subject, subject, said, "Change the card", _billing_url(), rows=_next_charge(facts))


def _renewal(facts: Facts) -> Letter:
    said = [
        f"{facts['plan']} goes on by itself for another {_length(facts['months'])}. There is nothing to do if you want "
        "to keep it. Cancel before that moment and nothing is charged."
    ]
    subject = f"{facts['plan']} renews on {day_text(facts['next_at'])} (UTC) for {dollars(facts['next_cents'])}"
    return Letter(subject, f"{facts['plan']} is about to renew", said, *_see_your_plan(), rows=_next_charge(facts))


LETTERS: dict[str, Callable[[Facts], Letter]] = {
    "started": _started,
    "granted": _granted,
    "receipt": _receipt,
    "refunded": _refunded,
    "replaced": _replaced,
    "payment_failed": _payment_failed,
    "action_required": _action_required,
    "changed": _changed,
    "change_scheduled": _change_scheduled,
    "cancel_scheduled": _cancel_scheduled,
    "ended": _ended,
    "trial_ending": _trial_ending,
    "card_expiring": _card_expiring,
    "renewal": _renewal,
}


# --- parts ------------------------------------------------------------------------------------------------------------


def _account_url() -> str:
    return settings.BASE_URL + reverse("accounts:settings")


def _billing_url() -> str:
    return settings.BASE_URL + reverse("accounts:billing")


def _see_your_plan() -> tuple[str, str]:
    return "See your plan", _account_url()


def _next_charge(facts: Facts) -> list[tuple[str, str]]:
    if facts.get("next_cents") is None:
        return []
    and_tokens = ", plus the AI tokens that you use" if facts.get("tokens") else ""
    rows = [("Next charge", dollars(facts["next_cents"]) + and_tokens), ("Charged on", moment_text(facts["next_at"]))]
    return [*rows, ("Charged to", facts["card"])] if facts["card"] else rows


def _signed(amount: int) -> str:
    return dollars(amount) if amount >= 0 else f"-{dollars(-amount)}"


def _price(amount: int, months: int) -> str:
    return f"{dollars(amount)} {every(months)}" if amount else "free"


def _by(months: int) -> str:
    """Is paid ... by the year."""
    return {1: "by the month", 12: "by the year"}.get(months) or every(months)


def _length(months: int) -> str:
    """Goes on for another ... year."""
    return every(months).removeprefix("a ").removeprefix("every ")
