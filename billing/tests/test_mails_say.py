"""The words of every mail: text and HTML say the same, one button, the zone stated, nothing that sells."""

import re
from html import unescape

import pytest
from django.urls import reverse

from billing.email_samples import SAMPLES
from billing.emails import LETTERS, write
from billing.models import BillingMail

EACH = pytest.mark.parametrize("name", SAMPLES)


def written(name):
    kind, _, facts = SAMPLES[name]
    return write(kind, facts)


def words(html):
    body = html.partition("<body")[2]
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", "<body" + body)).split())


def test_every_kind_has_its_words_and_a_sample():
    assert set(LETTERS) == set(BillingMail.Kind.values) == {kind for kind, _, _ in SAMPLES.values()}


@EACH
def test_text_and_html_say_the_same(name):
    mail = written(name)
    shown = words(mail.html)
    for line in mail.text.splitlines():
        if line.strip() and line != "Datilio" and not line.startswith("http"):
            for part in line.rstrip(":").split(": "):
                assert part in shown, part


@EACH
def test_it_has_one_button_and_no_other_link(name):
    mail = written(name)
    [url] = re.findall(r'href="([^"]+)"', mail.html)
    assert re.findall(r"https?://\S+", mail.text) == [unescape(url)]
    assert "src=" not in mail.html  # nothing is fetched, so nobody learns that it was read


@EACH
def test_every_time_names_its_zone(name):
    mail = written(name)
    for text in (mail.subject, mail.text):
        for found in re.finditer(r"\d{1,2} (?:November|December) 20\d\d(?:, \d\d:\d\d)?", text):
            assert text[found.end() :].startswith((" UTC", " (UTC)")), found[0]


@EACH
def test_the_subject_is_one_short_line(name):
    subject = written(name).subject
    assert "\n" not in subject
    assert len(subject) <= 78


def test_what_people_typed_is_text_and_not_markup():
    kind, _, facts = SAMPLES["granted"]
    mail = write(kind, facts | {"plan": "<b>Pro</b>\n & more", "reason": "<script>"})
    assert "<b>" not in mail.html and "<script" not in mail.html
    assert "<b>Pro</b>" in mail.text
    assert "\n" not in mail.subject


def test_a_failed_payment_names_cause_deadline_next_try_and_the_way_out():
    text = written("payment-failed").text
    assert "The card has insufficient funds." in text
    assert "Access until: 30 November 2026, 12:04 UTC" in text
    assert "Next try of the card: 26 November 2026, 12:04 UTC" in text
    assert "Pay $29.00:\nhttp://127.0.0.1:12111/i/" in text


def test_a_receipt_adds_up():
    _, _, facts = SAMPLES["receipt-of-an-upgrade"]
    lines = sum(line["cents"] for line in facts["lines"])
    assert lines - facts["discount_cents"] + facts["tax_cents"] - facts["credit_cents"] == facts["paid_cents"]
    text = written("receipt-of-an-upgrade").text
    for line in ("Discount: -$10.00", "Credit: -$5.00", "Paid: $32.30"):
        assert line in text


def test_who_pays_for_tokens_is_never_told_that_the_price_is_all():
    assert "Next charge: $29.00, plus the AI tokens that you use" in written("receipt").text
    cancelled = written("cancel-scheduled").text
    assert "Only the AI tokens that you have used are charged then" in cancelled
    assert "Nothing is charged any more" not in cancelled


# --- the pages that show them -----------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_the_style_guide_lists_every_mail(client):
    page = client.get(reverse("styleguide_mails")).content.decode()
    for name in SAMPLES:
        assert reverse("styleguide_mail", args=[name]) in page
        assert written(name).subject in unescape(page)


@pytest.mark.django_db
@EACH
def test_each_is_a_document_of_its_own_that_may_do_nothing(client, name):
    page = client.get(reverse("styleguide_mail", args=[name]))
    assert page.content.decode() == written(name).html
    policy = page["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src" not in policy and "style-src 'unsafe-inline'" in policy


@pytest.mark.django_db
def test_an_unknown_one_is_not_there(client):
    assert client.get(reverse("styleguide_mail", args=["nothing"])).status_code == 404


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/styleguide/mails", "/styleguide/mails/receipt"])
def test_outside_the_demo_they_are_for_staff(client, alice, staff, settings, address):
    settings.EMBEDDED = False
    client.force_login(alice)
    assert client.get(address).status_code == 403
    client.force_login(staff)
    assert client.get(address).status_code == 200
