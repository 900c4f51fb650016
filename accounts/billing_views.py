"""The customer's bills: what was paid, how the next one is paid, and the way into Stripe's portal."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from accounts.views import way_back
from billing.errors import StripeRefused, StripeUnavailable
from billing.forms import InvoicesForm
from billing.invoices import InvoicePage, list_invoices
from billing.models import BillingAccount
from billing.portal import portal_url
from billing.subscriptions import live_plan

INVOICES_A_PAGE = 12


@never_cache
@login_required
@require_safe
def billing(request: HttpRequest) -> HttpResponse:
    """Without Stripe it still shows what our own rows know."""
    form = InvoicesForm(request.GET)
    form.is_valid()
    after, before = form.cleaned_data.get("after", ""), form.cleaned_data.get("before", "")
    page: InvoicePage | None
    try:
        page = list_invoices(
            request.user,
            limit=INVOICES_A_PAGE,
            cursor="" if before else after,
            before=before,
            over_nothing=False,
        )
    except (StripeUnavailable, StripeRefused):
        page = None
    if page and before and not page.previous_cursor:
        # Back at the newest: the address that shows one that comes in, too.
        return HttpResponseRedirect(reverse("accounts:billing"))
    context = {
        "current_plan": live_plan(request.user.pk),
        "page": page,
        "is_customer": BillingAccount.objects.filter(user=request.user, stripe_customer_id__isnull=False).exists(),
    }
    return render(request, "accounts/billing.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def portal(request: HttpRequest) -> HttpResponse:
    """On to Stripe's own page for cards, address and tax number; `next`: where its way back leads."""
    if request.method != "POST":
        # Who had to log in first, or reloads a refusal.
        return HttpResponseRedirect(reverse("accounts:billing"))
    return HttpResponseRedirect(portal_url(request.user, return_path=way_back(request)), status=303)
