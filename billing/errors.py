"""What can go wrong with money, each with the next step. Stripe's own words stay in the log."""

from datilio.errors import DomainError, ServiceUnavailable

# Ways on for the error page.
TO_THE_PLANS = ("pricing", "See the plans")
TO_THE_PLAN = ("accounts:settings", "Go to your plan")
TO_THE_INVOICES = ("accounts:billing", "Go to your invoices")


class PlanNotFound(DomainError):
    code = "plan_not_found"
    message = "There is no such plan on sale. GET /api/plans lists them."
    page_message = "This plan is not on sale."
    status = 404
    next_page = TO_THE_PLANS


class PlanNameTaken(DomainError):
    code = "plan_name_taken"
    message = "There is a plan with this name, whatever the case. Choose another name."
    status = 409


class AlreadySubscribed(DomainError):
    code = "already_subscribed"
    message = "This is the plan you have. There is nothing to buy."
    status = 409
    next_page = TO_THE_PLAN


class PlanChangeRequired(DomainError):
    code = "plan_change_required"
    message = (
        "You have a paid plan, so there is nothing to buy at the checkout. Change it in your account or with "
        "POST /api/purchase/plan: only the difference is charged."
    )
    page_message = "You have a plan, so there is nothing to buy at the checkout. Change it in your account instead."
    status = 409
    next_page = TO_THE_PLAN


class PurchaseOvertaken(DomainError):
    code = "purchase_overtaken"
    message = "Another purchase of yours was completed this very moment. Look at your plan before you buy again."
    status = 409
    next_page = TO_THE_PLAN


class ChangeScheduled(DomainError):
    code = "change_scheduled"
    message = (
        "Your plan is about to change at the end of its period. Keep the present plan first (POST "
        "/api/user/resume_plan); then a new choice can be priced."
    )
    page_message = (
        "Your plan is about to change at the end of its period. Keep the present plan first, then choose again."
    )
    status = 409
    next_page = TO_THE_PLAN


class PaymentOverdue(DomainError):
    """details: invoice_url, amount_due."""

    code = "payment_overdue"
    message = "A bill of your present plan is not paid. Pay it at `invoice_url` first; then you can change the plan."
    page_message = "A bill of your present plan is not paid. Pay it first; then you can change the plan."
    status = 402
    next_page = TO_THE_PLAN


class PaymentDisputed(DomainError):
    code = "payment_disputed"
    message = (
        "A payment of your present plan is disputed at your bank. Until that is decided the plan cannot be upgraded: "
        "what is left of a payment that was taken back counts for nothing. You can cancel it and start anew."
    )
    status = 409
    next_page = TO_THE_PLAN


class QuoteInvalid(DomainError):
    code = "quote_invalid"
    message = "This is no quote of ours for this plan. Ask POST /api/purchase/preview for one."
    page_message = (
        "Nothing was changed: this confirmation belongs to another choice. Look at the amounts and confirm again."
    )
    status = 400
    next_page = TO_THE_PLANS


class QuoteExpired(DomainError):
    """details: preview, the quote made anew."""

    code = "quote_expired"
    message = "The quote is older than ten minutes. Nothing was changed; look at the new amounts and confirm again."
    status = 409


class QuoteChanged(DomainError):
    """details: preview, the quote made anew."""

    code = "quote_changed"
    message = "What this costs has changed since you saw it. Nothing was changed; look at the new amounts and confirm."
    status = 409


class NothingToResume(DomainError):
    code = "nothing_to_resume"
    message = "Nothing is scheduled: your plan is neither cancelled nor about to change."
    status = 409
    next_page = TO_THE_PLAN


class InvoiceNotFound(DomainError):
    code = "invoice_not_found"
    message = "There is no such invoice of yours. Ask for the list without a cursor."
    page_message = "This page of invoices is not there, or it is not yours."
    status = 404
    next_page = TO_THE_INVOICES


class NoBillingHistory(DomainError):
    code = "no_billing_history"
    message = "You have never bought anything here, so there is nothing to manage yet. Choose a plan first."
    status = 409
    next_page = TO_THE_PLANS


class PlanIsEnding(DomainError):
    code = "plan_is_ending"
    message = (
        "Your bank wants you to confirm the payment, and that cannot wait while your plan is cancelled. "
        "Keep your plan first, then choose the new one. Nothing was charged."
    )
    status = 409
    next_page = TO_THE_PLAN


class NothingToCancel(DomainError):
    code = "no_active_plan"
    message = "You have no plan, so there is nothing to cancel."
    status = 409
    next_page = TO_THE_PLANS


class AccountClosed(DomainError):
    code = "account_closed"
    message = "This account is closed, so nothing can be bought with it. Sign up again to begin anew."
    status = 409


class GrantRefused(DomainError):
    """Told to staff."""

    code = "grant_refused"
    message = "This plan cannot be given."
    status = 409


class CheckoutNotFound(DomainError):
    code = "checkout_not_found"
    message = "There is no such purchase, or it is not yours. Look at your account to see your plan."
    status = 404
    next_page = TO_THE_PLAN


class PaymentMethodRequired(DomainError):
    """details: checkout_url."""

    code = "payment_method_required"
    message = "There is no card to charge. Finish the purchase at `checkout_url`."
    page_message = "There is no card to charge. Add one first, then confirm again."
    status = 402
    next_page = TO_THE_INVOICES


class PaymentFailed(DomainError):
    """details: decline_code."""

    code = "payment_failed"
    message = "The card was declined. Nothing was charged and nothing has changed. Try another card."
    status = 402


class AuthenticationRequired(PaymentFailed):
    """details: authentication_url, where the customer confirms the payment with their bank."""

    code = "authentication_required"
    message = (
        "Your bank wants you to confirm the payment. Nothing was charged and nothing has changed yet: confirm it at "
        "`authentication_url`, and the plan follows by itself."
    )


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
