"""The test cards: what each number does. https://docs.stripe.com/testing"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import StripeError, card_error


@dataclass(frozen=True)
class Decline:
    """Why a charge fails, in the words of https://docs.stripe.com/declines/codes."""

    code: str
    decline_code: str | None
    message: str
    # What the network advises; do_not_try_again marks the hard declines, which are not retried.
    advice_code: str = "try_again_later"


GENERIC = Decline("card_declined", "generic_decline", "Your card was declined.")
INSUFFICIENT_FUNDS = Decline("card_declined", "insufficient_funds", "Your card has insufficient funds.")
LOST = Decline("card_declined", "lost_card", "Your card was declined.", "do_not_try_again")
STOLEN = Decline("card_declined", "stolen_card", "Your card was declined.", "do_not_try_again")
EXPIRED = Decline("expired_card", None, "Your card has expired.", "do_not_try_again")
INCORRECT_CVC = Decline("incorrect_cvc", None, "Your card's security code is incorrect.", "confirm_card_data")
PROCESSING_ERROR = Decline(
    "processing_error", None, "An error occurred while processing your card. Try again in a little bit."
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)


@dataclass(frozen=True)
class Card:
    """One test card."""

    number: str
    brand: str
    label: str  # what the Checkout page tells about it
    decline: Decline | None = None
    declines_at_attach: bool = True  # 0341 attaches and fails later: the dunning card
    authentication: str | None = None  # "once" (off session is fine after it) or "always"
    dispute: str | None = None  # the reason for which its holder disputes every charge
    refund: str | None = None  # "pending" (succeeds later) or "fails" (later)

    @property
    def last4(self) -> str:
        return self.number[-4:]


_CARDS = [
    Card("4242424242424242", "visa", "Succeeds"),
    Card("5555555555554444", "mastercard", "Succeeds"),
    Card("378282246310005", "amex", "Succeeds"),
    Card("4000000000000002", "visa", "Declined", GENERIC),
    Card("4000000000009995", "visa", "Declined: insufficient funds", INSUFFICIENT_FUNDS),
    Card("4000000000009987", "visa", "Declined: lost card", LOST),
    Card("4000000000009979", "visa", "Declined: stolen card", STOLEN),
    Card("4000000000000069", "visa", "Declined: expired card", EXPIRED),
    Card("4000000000000127", "visa", "Declined: incorrect CVC", INCORRECT_CVC),
    Card("4000000000000119", "visa", "Declined: processing error", PROCESSING_ERROR),
    Card("4000000000000341", "visa", "Can be saved, every charge fails", GENERIC, declines_at_attach=False),
    Card("4000002500003155", "visa", "Asks for authentication (3D Secure), once", authentication="once"),
    Card("4000002760003184", "visa", "Asks for authentication, always", authentication="always"),
    Card(
        "4000008260003178",
        "visa",
        "Authenticates, then insufficient funds",
        INSUFFICIENT_FUNDS,
        declines_at_attach=False,
        authentication="always",
    ),
    Card(
        "4000008400001629",
        "visa",
        "Authenticates, then declined",
        GENERIC,
        declines_at_attach=False,
        authentication="always",
    ),
    Card("4000000000000259", "visa", "Succeeds, then disputed as fraudulent", dispute="fraudulent"),
    Card("4000000000002685", "visa", "Succeeds, then disputed: not received", dispute="product_not_received"),
    Card("4000000000007726", "visa", "Succeeds; refunds are pending first", refund="pending"),
    Card("4000000000005126", "visa", "Succeeds; refunds fail later", refund="fails"),
]
BY_NUMBER: dict[str, Card] = {card.number: card for card in _CARDS}

# Names for the numbers, usable as pm_card_<name> and tok_<name>.
_NAMES = {
    "visa": "4242424242424242",
    "mastercard": "5555555555554444",
    "amex": "378282246310005",
    "chargeDeclined": "4000000000000002",
    "visa_chargeDeclined": "4000000000000002",
    "chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedInsufficientFunds": "4000000000009995",
    "visa_chargeDeclinedLostCard": "4000000000009987",
    "visa_chargeDeclinedStolenCard": "4000000000009979",
    "chargeDeclinedExpiredCard": "4000000000000069",
    "chargeDeclinedIncorrectCvc": "4000000000000127",
    "chargeDeclinedProcessingError": "4000000000000119",
    "chargeCustomerFail": "4000000000000341",
    "authenticationRequired": "4000002760003184",
    "authenticationRequiredOnSetup": "4000002500003155",
    "threeDSecure2Required": "4000002760003184",
    "authenticationRequiredChargeDeclinedInsufficientFunds": "4000008260003178",
    "threeDSecureRequiredChargeDeclined": "4000008400001629",
    "createDispute": "4000000000000259",
    "createDisputeProductNotReceived": "4000000000002685",
    "pendingRefund": "4000000000007726",
    "refundFail": "4000000000005126",
}
MAGIC_IDS: dict[str, str] = {
    prefix + name: number for name, number in _NAMES.items() for prefix in ("pm_card_", "tok_")
}


def emulated() -> list[Card]:
    """All of them, for the list on the Checkout page."""
    return list(_CARDS)


def check_details(number: str, exp_month: int, exp_year: int, cvc: str | None, now_year_month: tuple[int, int]) -> Card:
    """Return the test card with this number.

    Raises the 402 that Stripe raises for a number that fails the Luhn check or is no test card, for a date in
    the past and for a CVC of the wrong length. A two-digit year means 20xx.
    """
    number = number.replace(" ", "").replace("-", "")
    if not is_number(number):
        raise _refused("Your card number is incorrect.", "incorrect_number", "number")
    if not 1 <= exp_month <= 12:
        raise _refused("Your card's expiration month is invalid.", "invalid_expiry_month", "exp_month")
    year = exp_year + 2000 if 0 <= exp_year < 100 else exp_year
    if not now_year_month[0] <= year <= now_year_month[0] + 50:
        raise _refused("Your card's expiration year is invalid.", "invalid_expiry_year", "exp_year")
    if (year, exp_month) < now_year_month:
        raise _refused("Your card's expiration month is invalid.", "invalid_expiry_month", "exp_month")
    if cvc is not None and not (cvc.isascii() and cvc.isdigit() and 3 <= len(cvc) <= 4):
        raise _refused("Your card's security code is invalid.", "invalid_cvc", "cvc")
    card = BY_NUMBER.get(number)
    if card is None:
        raise card_error(
            "Your card was declined. Your request was in test mode, but used a non test card. For a list "
            "of valid test cards, visit: https://stripe.com/docs/testing.",
            "card_declined",
            decline_code="test_mode_live_card",
        )
    return card


def _refused(message: str, code: str, param: str) -> StripeError:
    return StripeError(402, message, type="card_error", code=code, param=param)


def is_number(number: str) -> bool:
    """Whether it could be a card's number: 12-19 digits of which the last fits the others (Luhn)."""
    if not (number.isascii() and number.isdigit() and 12 <= len(number) <= 19):
        return False
    total = 0
    for index, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if index % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0
