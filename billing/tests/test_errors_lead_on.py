"""Each refusal about money tells a customer on a page what to do next, in words for people."""

import re

import pytest
from django.urls import reverse

from billing import errors
from datilio.error_rendering import as_page, problem_document

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
# Caught where they happen, with a way on of their own (Stripe's page, or the page that is shown again), or told to
# staff and programs only.
LEAD_ON_BY_THEMSELVES = {
    *("payment_failed", "authentication_required", "quote_expired", "quote_changed"),
    *("plan_name_taken", "account_closed", "grant_refused"),
}


@pytest.fixture
def page_of(rf):
    def render(error):
        request = rf.post("/account/change")
        request.user, request.htmx = None, False
        return as_page(request, error).content.decode()

    return render


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_it_names_no_endpoint_to_a_person(kind):
    if kind.code not in LEAD_ON_BY_THEMSELVES:
        assert not re.search(r"`|/api/|GET |POST ", kind().page_message)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.code)
def test_its_button_leads_to_a_page_of_ours(kind):
    ours = kind.status < 500 and kind.code not in LEAD_ON_BY_THEMSELVES
    if ours and kind is not errors.StripeRefused:
        assert kind.next_page is not None
    if kind.next_page:
        assert reverse(kind.next_page[0]).startswith("/")


def test_the_page_has_the_words_and_the_button_and_a_program_gets_neither(page_of):
    error = errors.ChangeScheduled()
    page = page_of(error)
    assert "Keep the present plan first, then choose again" in page and "resume_plan" not in page
    assert f'<a class="button" href="{reverse("accounts:settings")}">Go to your plan</a>' in page
    document = problem_document(error)
    assert "POST /api/user/resume_plan" in document["detail"]
    assert not {"next_page", "page_message", "next_url"} & set(document)


def test_what_is_said_of_this_very_case_is_said_on_the_page_too(page_of):
    assert "Only today." in page_of(errors.PlanIsEnding("Only today."))
