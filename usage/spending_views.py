"""The page of what AI tokens cost: this month, the customer's own cap, the receipts."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from billing.pricing import to_cents
from datilio.errors import InvalidInput
from usage.forms import SpendCapForm
from usage.receipts import events_of_receipt, next_page_of, receipts_of
from usage.serializers import ReceiptEventsQuery
from usage.spending import remove_spend_cap, set_spend_cap, spending_of


@never_cache
@login_required
@require_safe
def ai_costs(request: HttpRequest) -> HttpResponse:
    return _page(request, None)


@never_cache
@login_required
@require_safe
def receipt(request: HttpRequest) -> HttpResponse:
    """The events of one receipt, page by page."""
    query = ReceiptEventsQuery(data=request.GET)
    if not query.is_valid():
        raise InvalidInput({"period_start": ["Follow the link of a receipt."]}, "There is no such receipt.")
    wanted = query.validated_data
    events, cursor = events_of_receipt(request.user.pk, **wanted)
    start = wanted["period_start"]
    context = {"events": events, "period_start": start, "next_page": cursor and next_page_of(start, cursor)}
    return render(request, "usage/receipt_events.html", context)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def change_cap(request: HttpRequest) -> HttpResponse:
    """Sets the cap, or takes it away with the button `remove`."""
    if request.method != "POST":
        # Who had to log in first, or reloads a refusal.
        return HttpResponseRedirect(reverse("usage:ai_costs"))
    if "remove" in request.POST:
        remove_spend_cap(request.user.pk)
        messages.success(request, "There is no cap any more.")
    else:
        form = SpendCapForm(request.POST)
        if not form.is_valid():
            return _page(request, form, status=400)
        cents = to_cents(form.cleaned_data["amount"])
        set_spend_cap(request.user.pk, cents, timezone.now())
        messages.success(request, f"AI tokens stop at ${cents / 100:,.2f} a month.")
    return HttpResponseRedirect(reverse("usage:ai_costs"), status=303)


def _page(request: HttpRequest, form: SpendCapForm | None, *, status: int = 200) -> HttpResponse:
    now = timezone.now()
    spending = spending_of(request.user.pk, now)
    if form is None:
        cap = spending.cap_cents
        form = SpendCapForm(initial={} if cap is None else {"amount": f"{cap / 100:.2f}"})
    context = {"spending": spending, "form": form, "receipts": receipts_of(request.user.pk, now)}
    return render(request, "usage/ai_costs.html", context, status=status)
