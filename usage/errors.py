"""What can go wrong with usage, each with the next step."""

from typing import Any

from django.conf import settings
from django.urls import reverse

from datilio.errors import DomainError


class UpgradeNeeded(DomainError):
    """A refusal that a plan would lift. details: upgrade_url, absolute, because a backend passes it on."""

    status = 402

    def __init__(self, message: str | None = None, **details: Any) -> None:
        path = reverse("pricing")
        super().__init__(
            message,
            upgrade_url=f"{settings.BASE_URL}{path}",
            next_url=path,
            next_label="See the plans",
            **details,
        )


class NoActivePlan(UpgradeNeeded):
    """details: feature, upgrade_url."""

    code = "no_active_plan"
    message = "There is no plan that gives access right now. Choose a plan, then try again."


class LimitExceeded(UpgradeNeeded):
    """details: feature, used, held, limit, resets_at (None: it never does by itself), limit_name (the Plan field that
    refuses), upgrade_url, upgrade_plan (name of the cheapest plan on sale that would allow it; None: there is none)."""

    code = "limit_exceeded"


class SpendCapReached(DomainError):
    """The customer's own cap on AI tokens. details: feature, limit_name ("spend_cap"), used, held and limit in dollars
    (two decimals; `used_exact`, `held_exact`, `cost_exact` with all of them), resets_at, upgrade_url (absolute: the
    page on which they can raise it)."""

    code = "spend_cap_reached"
    status = 402

    def __init__(self, message: str, **details: Any) -> None:
        path = reverse("usage:ai_costs")
        super().__init__(
            message,
            upgrade_url=f"{settings.BASE_URL}{path}",
            next_url=path,
            next_label="Change your cap",
            **details,
        )


class NothingToRemove(DomainError):
    """details: feature, used."""

    code = "nothing_to_remove"
    message = "Fewer are counted than this would remove. Nothing was changed."
    status = 409


class UserNotFound(DomainError):
    code = "user_not_found"
    message = "There is no user with this `user_id`."
    status = 404


class ApiKeyRefused(DomainError):
    status = 401
    # Read by api_exception_handler for WWW-Authenticate.
    auth_header = 'Api-Key realm="usage"'


class ApiKeyRequired(ApiKeyRefused):
    code = "api_key_required"
    message = "Send an API key: `Authorization: Api-Key <key>`. A key is made with `manage.py create_api_key`."


class UserTokenCannotWrite(DomainError):
    code = "api_key_required"
    message = "A user's token reads usage and never writes it. Send an API key: `Authorization: Api-Key <key>`."
    status = 403


class ApiKeyInvalid(ApiKeyRefused):
    code = "invalid_api_key"
    message = "This API key is not one of ours."


class ApiKeyRevoked(ApiKeyRefused):
    code = "api_key_revoked"
    message = "This API key has been revoked. Ask for a new one."


class ScopeMissing(DomainError):
    """details: scope."""

    code = "scope_missing"
    message = "This API key may not do this. It needs the scope named in `scope`."
    status = 403


class HoldNotFound(DomainError):
    code = "hold_not_found"
    message = "There is no hold with this id under this API key."
    status = 404


class HoldIsSettled(DomainError):
    """details: settled, {feature: amount} that it was settled with."""

    code = "hold_is_settled"
    message = "This hold is settled already, see `settled`. Nothing was changed."
    status = 409


class HoldIsReleased(DomainError):
    code = "hold_is_released"
    message = "This hold was released: nothing was used under it. What was used after all, send as an event."
    status = 409
