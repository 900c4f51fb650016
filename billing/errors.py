"""What can go wrong with money, each with the next step. Stripe's own words stay in the log."""

from datilio.errors import DomainError, ServiceUnavailable


class PlanNotFound(DomainError):
    code = "plan_not_found"
    message = "There is no such plan on sale. GET /api/plans lists them."
    status = 404


class PlanNameTaken(DomainError):
    code = "plan_name_taken"
    message = "There is a plan with this name, whatever the case. Choose another name."
    status = 409


class AlreadySubscribed(DomainError):
    code = "already_subscribed"
    message = "This is the plan you have. There is nothing to buy."
    status = 409


class PlanChangeNotAvailable(DomainError):
    code = "plan_change_not_available"
    message = (
        "You have a plan, and changing from one to another is not open yet. "
        "Cancel the present plan in your account first; once it has ended you can choose a new one."
    )
    status = 409


class NothingToCancel(DomainError):
    code = "no_active_plan"
    message = "You have no plan, so there is nothing to cancel."
    status = 409


class CheckoutNotFound(DomainError):
    code = "checkout_not_found"
    message = "There is no such purchase, or it is not yours. Look at your account to see your plan."
    status = 404


class PaymentMethodRequired(DomainError):
    """details: checkout_url."""

    code = "payment_method_required"
    message = "There is no card to charge. Finish the purchase at `checkout_url`."
    status = 402


class PaymentFailed(DomainError):
    """details: decline_code."""

    code = "payment_failed"
    message = "The card was declined, and nothing was bought. Try another card."
    status = 402


class StripeUnavailable(ServiceUnavailable):
    """It did not answer, or asked us to wait. Every write carries an idempotency key: pressing again is safe."""

    code = "stripe_unavailable"
    message = "Our payment provider does not answer right now. Try again in a minute; you will not be charged twice."
    status = 503


class StripeRefused(DomainError):
    """It answered, and what it said means a mistake of ours."""

    code = "stripe_refused"
    message = "Our payment provider refused the request. Nothing was charged; we have been told."
    status = 502
