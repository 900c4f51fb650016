"""Stripe's errors. Raised anywhere below a request, rendered in one place (app.py).

Shapes and texts: https://docs.stripe.com/api/errors and https://docs.stripe.com/error-codes. SDKs and
dj-stripe match some of the texts, so they are Stripe's own.
"""

from __future__ import annotations

from typing import Any


class StripeError(Exception):
    """An answer other than 200: `status` and the members of the `error` object.

    `keeps_changes` tells that what was written before the error stays (a declined charge is a fact);
    otherwise the request's transaction is rolled back. `executed` tells whether an Idempotency-Key remembers
    the answer: https://docs.stripe.com/api/idempotent_requests saves results only once the endpoint began to
    execute.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        keeps_changes: bool = False,
        executed: bool = True,
        **members: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.keeps_changes = keeps_changes
        self.executed = executed
        self.unemulated = False  # whether it belongs on the list of GET /_sandbox/not-emulated
        self.body: dict[str, Any] = {"type": type, "message": message}
        if code:
            self.body["code"] = code
            self.body["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
        if param:
            self.body["param"] = param
        self.body.update({key: value for key, value in members.items() if value is not None})


def invalid(message: str, param: str | None = None, code: str | None = None, status: int = 400) -> StripeError:
    """A request that Stripe understands and refuses."""
    return StripeError(status, message, code=code, param=param, executed=not (code or "").startswith("parameter_"))


def missing(param: str) -> StripeError:
    return invalid(f"Missing required param: {param}.", param, "parameter_missing")


def exclusive(*params: str) -> StripeError:
    return invalid(
        f"You may only specify one of these parameters: {', '.join(params)}.",
        params[0],
        "parameters_exclusive",
    )


# How Stripe calls a type in "No such ...", where it is not the type's own name.
_NOUNS = {
    "billing.meter": "billing meter",
    "billing_portal.configuration": "configuration",
    "payment_method": "PaymentMethod",
    "setup_intent": "setupintent",
    "webhook_endpoint": "webhook endpoint",
    "balance_transaction": "balance transaction",
}


def no_such(object_type: str, object_id: str, param: str = "id", in_path: bool = False) -> StripeError:
    """resource_missing: 404 when the id stands in the path, 400 when it stands in a parameter."""
    noun = _NOUNS.get(object_type, object_type)
    message = f"No such {noun}: '{object_id}'"
    return invalid(message, param, "resource_missing", status=404 if in_path else 400)


def not_emulated(what: str, param: str | None = None) -> StripeError:
    """Stripe would do it and the sandbox cannot yet: say so rather than make up a success."""
    error = StripeError(
        400,
        f"{what} is not emulated by the local Stripe. See stripe_sandbox/README.md.",
        param=param,
        executed=False,
    )
    error.unemulated = True
    return error


def unrecognized_url(method: str, path: str, known_to_stripe: bool = False) -> StripeError:
    hint = " (Stripe has it; it is not emulated by the local Stripe.)" if known_to_stripe else ""
    error = StripeError(
        404,
        f"Unrecognized request URL ({method.upper()}: {path}). Please see https://stripe.com/docs or we can "
        f"help at https://support.stripe.com/.{hint}",
        executed=False,
    )
    error.unemulated = True
    return error


def card_error(message: str, code: str, *, decline_code: str | None = None, **members: Any) -> StripeError:
    """402: the card was refused. The attempt stays on record (charge.failed and so on)."""
    return StripeError(
        402, message, type="card_error", code=code, decline_code=decline_code, keeps_changes=True, **members
    )
