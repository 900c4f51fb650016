"""Coupons, promotion codes, and what they take off an invoice. https://docs.stripe.com/billing/subscriptions/coupons

A coupon is redeemed (by its id or by a promotion code) and becomes a discount of one holder: a subscription,
a subscription item, an invoice, an invoice item or a customer. `of_invoice` tells which discounts hold for an
invoice, `apply` works out the money (pure: it changes nothing but the lines it is given, so that previews and
real invoices share it), `note_used` ends what was good for one invoice only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING, Any

from .. import ids
from ..billing_cycle import boundary
from ..due_work import due
from ..errors import exclusive, invalid, missing
from ..store import Document

if TYPE_CHECKING:
    from ..sandbox import Sandbox

# What a discount remembers of its coupon: the terms never change, and outlive the coupon's deletion.
_TERMS = ("percent_off", "amount_off", "currency", "duration", "duration_in_months", "name")


# ----------------------------------------------------------------------------- redeeming
def from_params(
    sandbox: Sandbox,
    given: Any,
    param: str,
    *,
    customer: Document | None,
    currency: str | None = None,
    subtotal: int | None = None,
    existing: Sequence[str] = (),
    **holder: Any,
) -> list[str]:
    """The discount ids after a request's `discounts` ([{coupon | promotion_code | discount}] or '').

    `holder` names what they are for (subscription=..., invoice=..., subscription_item=..., invoice_item=...,
    checkout_session=...); `existing` are the holder's present discounts: those the request does not repeat by
    `discount` are deleted. `currency` and `subtotal` (of the order) are what restrictions are checked
    against. Raises 400 for a coupon or code that cannot be redeemed.
    """
    kept: list[str] = []
    for at, one in _each(given, param):
        if one.get("discount"):
            kept.append(_existing(sandbox, one["discount"], f"{at}[discount]", existing, customer)["id"])
            continue
        coupon, code = redeemable(sandbox, one, at, customer=customer, currency=currency, subtotal=subtotal)
        kept.append(redeem(sandbox, coupon, code, customer=customer, **holder)["id"])
    for discount_id in existing:
        if discount_id not in kept:
            delete(sandbox, sandbox.store.get(discount_id))
    return kept


def preview(
    sandbox: Sandbox,
    given: Any,
    param: str,
    *,
    customer: Document,
    currency: str,
    subtotal: int | None = None,
    existing: Sequence[str] = (),
) -> list[Document]:
    """What `from_params` would make, as documents that are not saved: a subscription that is only thought of may
    hold them instead of ids. Raises 400 as that does.
    """
    held = []
    for at, one in _each(given, param):
        if one.get("discount"):
            held.append(_existing(sandbox, one["discount"], f"{at}[discount]", existing, customer))
        else:
            coupon, code = redeemable(sandbox, one, at, customer=customer, currency=currency, subtotal=subtotal)
            held.append(proposed(sandbox, coupon, code))
    return held


def _each(given: Any, param: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(its name in the request, {coupon | promotion_code | discount}) one by one. Raises 400."""
    for index, one in enumerate(given or []):
        at = f"{param}[{index}]"
        named = [key for key in ("coupon", "promotion_code", "discount") if one.get(key)]
        if len(named) > 1:
            raise exclusive(*(f"{at}[{key}]" for key in named))
        if not named:
            raise missing(f"{at}[coupon]")
        yield at, one


def _existing(
    sandbox: Sandbox, discount_id: str, param: str, existing: Sequence[str], customer: Document | None
) -> Document:
    discount = sandbox.get("discount", discount_id, param)
    if discount.get("_deleted"):
        raise invalid(f"No such discount: '{discount_id}'", param, "resource_missing")
    if discount_id not in existing and (customer is None or discount["customer"] != customer["id"]):
        raise invalid(f"No such discount: '{discount_id}'", param, "resource_missing")
    return discount


def redeemable(
    sandbox: Sandbox,
    one: dict[str, Any],
    at: str,
    *,
    customer: Document | None,
    currency: str | None = None,
    subtotal: int | None = None,
) -> tuple[Document, Document | None]:
    """Return (coupon, promotion code or None) of {coupon} or {promotion_code}, checked. Raises 400."""
    code = None
    if one.get("promotion_code"):
        param = f"{at}[promotion_code]"
        code = sandbox.get("promotion_code", one["promotion_code"], param)
        coupon = sandbox.get("coupon", code["promotion"]["coupon"], param)
        _check_code(sandbox, code, coupon, param, customer, currency, subtotal)
    else:
        param = f"{at}[coupon]"
        coupon = sandbox.get("coupon", one["coupon"], param)
    if not coupon["valid"]:
        used_up = coupon["max_redemptions"] is not None and (coupon["times_redeemed"] >= coupon["max_redemptions"])
        raise invalid(
            f"Coupon {coupon['id']} is {'used up' if used_up else 'expired'} and cannot be applied.",
            param,
            "coupon_expired",
        )
    if coupon["amount_off"] is not None and currency not in (None, coupon["currency"]):
        raise invalid(
            f"The coupon's currency ({coupon['currency']}) does not match the currency of the order ({currency}).",
            param,
        )
    return coupon, code


def _check_code(
    sandbox: Sandbox,
    code: Document,
    coupon: Document,
    param: str,
    customer: Document | None,
    currency: str | None,
    subtotal: int | None,
) -> None:
    if not code["active"] or not coupon["valid"]:
        raise invalid("This promotion code is inactive and cannot be redeemed.", param)
    if code["customer"] and (customer is None or code["customer"] != customer["id"]):
        raise invalid("This promotion code is for another customer and cannot be redeemed.", param)
    restrictions = code["restrictions"]
    if restrictions["first_time_transaction"] and customer and has_paid_before(sandbox, customer):
        raise invalid(
            "This promotion code cannot be redeemed because the associated customer has prior transactions.",
            param,
        )
    least = restrictions["minimum_amount"]
    if (
        least is not None
        and subtotal is not None
        and (currency != restrictions["minimum_amount_currency"] or subtotal < least)
    ):
        raise invalid(
            "This promotion code cannot be redeemed because the order does not reach its minimum amount.",
            param,
        )


def has_paid_before(sandbox: Sandbox, customer: Document) -> bool:
    """Whether the customer has paid or been invoiced before, which `first_time_transaction` forbids."""
    return bool(
        sandbox.store.find("charge", {"customer": customer["id"], "status": "succeeded"}, limit=1)
        or sandbox.store.find("invoice", {"customer": customer["id"], "status": "paid"}, limit=1)
    )


def code_called(sandbox: Sandbox, code: str, customer: str | None) -> Document | None:
    """The active promotion code with this text, which a customer typed: case does not matter."""
    for whose in (customer, None):
        equal = {"_code": code.strip().upper(), "active": True, "customer": whose}
        found = sandbox.store.find("promotion_code", equal, limit=1)
        if found:
            return found[0]
    return None


def redeem(
    sandbox: Sandbox,
    coupon: Document,
    code: Document | None,
    *,
    customer: Document | None,
    subscription: str | None = None,
    subscription_item: str | None = None,
    invoice: str | None = None,
    invoice_item: str | None = None,
    checkout_session: str | None = None,
) -> Document:
    """Make a coupon a discount of its holder, and count the redemption."""
    discount = sandbox.store.insert(
        {
            **proposed(sandbox, coupon, code),
            "checkout_session": checkout_session,
            "customer": customer["id"] if customer else None,
            "invoice": invoice,
            "invoice_item": invoice_item,
            "subscription": subscription,
            "subscription_item": subscription_item,
        }
    )
    for counted in (coupon, code):
        if counted is not None:
            _count(sandbox, counted)
    if discount["end"] is not None:
        sandbox.due_work.add(discount["end"], "discount.ends", discount["id"])
    sandbox.events.emit("customer.discount.created", discount)
    return discount


def proposed(sandbox: Sandbox, coupon: Document, code: Document | None) -> Document:
    """What `redeem` would make, unsaved and without a holder: for `apply`, to tell what it would take off."""
    now = sandbox.clock.now()
    end = None
    if coupon["duration"] == "repeating":
        month = {"interval": "month", "interval_count": 1}
        end = boundary(now, month, coupon["duration_in_months"])
    return {
        "id": ids.new("discount"),
        "object": "discount",
        "checkout_session": None,
        "customer": None,
        "customer_account": None,
        "end": end,
        "invoice": None,
        "invoice_item": None,
        "promotion_code": code["id"] if code else None,
        "source": {"coupon": coupon["id"], "type": "coupon"},
        "start": now,
        "subscription": None,
        "subscription_item": None,
        "_products": (coupon.get("_applies_to") or {}).get("products"),
        "_terms": {key: coupon[key] for key in _TERMS},
    }


def _count(sandbox: Sandbox, counted: Document) -> None:
    """One redemption more; the last one allowed makes it invalid."""
    times = counted["times_redeemed"] + 1
    changes: dict[str, Any] = {"times_redeemed": times}
    if counted["max_redemptions"] is not None and times >= counted["max_redemptions"]:
        changes["valid" if counted["object"] == "coupon" else "active"] = False
    sandbox.change(counted, changes=changes)


def delete(sandbox: Sandbox, discount: Document | None) -> None:
    """Take a discount from its holder: customer.discount.deleted."""
    if discount is None or discount.get("_deleted"):
        return
    # Noted, not shown: an invoice that had it still shows it whole.
    sandbox.change(discount, changes={"_deleted": True})
    for key in ("subscription", "subscription_item"):
        holder = sandbox.store.get(discount[key]) if discount[key] else None
        if holder and discount["id"] in holder.get("discounts", ()):
            left = [one for one in holder["discounts"] if one != discount["id"]]
            sandbox.change(holder, changes={"discounts": left})
    customer = sandbox.store.get(discount["customer"]) if discount["customer"] else None
    if customer and customer.get("discount") == discount["id"]:
        sandbox.change(customer, changes={"discount": None})
    sandbox.events.emit("customer.discount.deleted", discount)


@due("discount.ends")
def _end(sandbox: Sandbox, discount_id: str) -> None:
    delete(sandbox, sandbox.store.get(discount_id))


# -------------------------------------------------------------------------- what an invoice gets
def of_invoice(sandbox: Sandbox, customer: Document, subscription: Document | None) -> list[Document]:
    """The discounts of a new invoice as a whole: the subscription's, else the customer's.

    Discounts of single items stand in their lines' `discounts`.
    """
    found = list(subscription["discounts"]) if subscription else []
    if not found and customer.get("discount"):
        found = [customer["discount"]]
    documents = [one if isinstance(one, dict) else sandbox.store.get(one) for one in found]  # see `preview`
    return [discount for discount in documents if discount and holds(sandbox, discount)]


def holds(sandbox: Sandbox, discount: Document) -> bool:
    """Whether it still counts now: not deleted, not past its end, not used up."""
    if discount.get("_deleted") or discount.get("_used"):
        return False
    return discount["end"] is None or sandbox.clock.now() < discount["end"]


def apply(sandbox: Sandbox, lines: Iterable[dict[str, Any]], discounts: Sequence[Document]) -> list[dict[str, Any]]:
    """Work out what the discounts take off the lines; return the invoice's `total_discount_amounts`.

    Writes `discount_amounts` and `pretax_credit_amounts` into the lines (line_item dicts) and saves nothing.
    The discounts of single lines (their `discounts`) come first, then those of the invoice in their order,
    each on what the ones before left. Lines that are not discountable and negative ones (credits of
    prorations, which already carry their discount) take no part.
    """
    lines = list(lines)
    left = {id(line): line["amount"] for line in lines}
    taken: dict[int, list[dict[str, Any]]] = {id(line): [] for line in lines}
    totals: dict[str, int] = {}

    def take(discount: Document, eligible: list[dict[str, Any]]) -> None:
        shares = _shares(discount, [left[id(line)] for line in eligible])
        for line, share in zip(eligible, shares, strict=True):
            left[id(line)] -= share
            taken[id(line)].append({"amount": share, "discount": discount["id"]})
        totals[discount["id"]] = totals.get(discount["id"], 0) + sum(shares)

    for line in lines:
        for one in line.get("discounts") or ():
            discount = sandbox.store.get(one)
            if discount and holds(sandbox, discount) and _eligible(discount, line):
                take(discount, [line])
    for discount in discounts:
        eligible = [line for line in lines if _eligible(discount, line)]
        if eligible:
            take(discount, eligible)
        else:
            totals.setdefault(discount["id"], 0)
    for line in lines:
        line["discount_amounts"] = taken[id(line)]
        line["pretax_credit_amounts"] = pretax_credits(taken[id(line)])
    return [{"amount": amount, "discount": discount} for discount, amount in totals.items()]


def pretax_credits(amounts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same amounts as Stripe repeats them in `pretax_credit_amounts`."""
    return [{**amount, "type": "discount"} for amount in amounts]


def net(amount: int, product: str | None, discounts: Iterable[Document]) -> int:
    """An amount after percentages off, for prorations whose discounts are `included` in the amount."""
    for discount in discounts:
        percent = discount["_terms"]["percent_off"]
        if percent is not None and (discount["_products"] is None or product in discount["_products"]):
            amount -= percentage(amount, percent)
    return amount


def percentage(amount: int, percent: float) -> int:
    """The percentage of an amount, halves away from zero."""
    return int((Decimal(amount) * Decimal(str(percent)) / 100).quantize(Decimal(1), ROUND_HALF_UP))


def _eligible(discount: Document, line: dict[str, Any]) -> bool:
    if not line["discountable"] or line["amount"] <= 0:
        return False
    if discount["_products"] is None:
        return True
    details = (line.get("pricing") or {}).get("price_details") or {}
    return details.get("product") in discount["_products"]


def _shares(discount: Document, amounts: list[int]) -> list[int]:
    """What the discount takes from each of these amounts: together to the cent, each in proportion."""
    total = sum(amounts)
    terms = discount["_terms"]
    if terms["percent_off"] is not None:
        off = percentage(total, terms["percent_off"])
    else:
        off = min(total, terms["amount_off"])
    if total == 0:
        return [0] * len(amounts)
    shares = [off * amount // total for amount in amounts]
    # The cents that rounding down left go to where most was lost.
    by_loss = sorted(range(len(amounts)), key=lambda i: -(off * amounts[i] % total))
    for index in by_loss[: off - sum(shares)]:
        shares[index] += 1
    return shares


def note_used(sandbox: Sandbox, total_discount_amounts: Iterable[dict[str, Any]]) -> None:
    """An invoice was made with these: what is good for one invoice (`once`) is used up by it.

    A discount that took nothing (the free invoice of a trial) is kept for the next one.
    """
    for amount in total_discount_amounts:
        discount = sandbox.store.get(amount["discount"])
        if discount and amount["amount"] and discount["_terms"]["duration"] == "once":
            if discount["invoice"] or discount["invoice_item"]:
                sandbox.change(discount, changes={"_used": True})
            else:
                delete(sandbox, discount)


# ---------------------------------------------------------------------------------- wording
def description(terms: dict[str, Any]) -> str:
    """What a page tells about a coupon or about a discount's `_terms`: '25% off for 3 months'."""
    from ..billing_cycle import money

    if terms["percent_off"] is not None:
        off = f"{Decimal(str(terms['percent_off'])).normalize():f}% off"
    else:
        off = f"{money(terms['amount_off'], terms['currency'])} off"
    if terms["duration"] == "once":
        return f"{off} once"
    if terms["duration"] == "repeating":
        months = terms["duration_in_months"]
        return f"{off} for {months} month{'s' if months > 1 else ''}"
    return f"{off} forever"
