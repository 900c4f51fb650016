"""What can go wrong, told once: a rule that is broken raises a DomainError, error_rendering shows it."""

from typing import Any


class DomainError(Exception):
    """A refusal with a name.

    code: stable snake_case word that clients switch on. message: one or two sentences for the person in front of the
    screen, saying what to do next. status: the HTTP status it is shown with. details: JSON-ready extra members of the
    problem document (`checkout_url`, `retry_after`, `errors`, ...); `headers` and `next_url`/`next_label` (the way on,
    on the page) are taken out by the rendering. See shared/api.md, Errors.

    page_message: what a page says where `message` speaks to a program. next_page: (URL name, label) of the way on
    that the kind of error has by itself.
    """

    code = "error"
    message = "This is not possible."
    status = 400
    page_message = ""
    next_page: tuple[str, str] | None = None

    def __init__(
        self, message: str | None = None, *, code: str | None = None, status: int | None = None, **details: Any
    ) -> None:
        self.code = code or self.code
        self.page_message = message or self.page_message or self.message
        self.message = message or self.message
        self.status = status or self.status
        self.details = details
        super().__init__(self.message)


class InvalidInput(DomainError):
    """`errors`: {field: [messages]}."""

    code = "invalid_input"
    message = "Some of the values cannot be used. See `errors` for each field."
    status = 400

    def __init__(self, errors: dict[str, list[str]], message: str | None = None) -> None:
        super().__init__(message, errors=errors)


class NotFound(DomainError):
    code = "not_found"
    message = "There is nothing here, or it is not yours."
    status = 404


class RateLimited(DomainError):
    code = "rate_limited"
    message = "Too many requests. Wait a moment, then try again."
    status = 429


class IdempotencyKeyReused(DomainError):
    code = "idempotency_key_reused"
    message = "The idempotency key was used for another request. Use a new key for a new request; on a page, reload it."
    status = 422


class ServiceUnavailable(DomainError):
    code = "service_unavailable"
    message = "A service that this needs is out of reach. Nothing was changed; try again in a minute."
    status = 503
