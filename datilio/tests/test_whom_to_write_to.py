"""Footer and mails name whom to write to and the operator's own pages, as far as the settings do."""

import pytest

from billing.email_samples import SAMPLES
from billing.emails import write

pytestmark = pytest.mark.django_db


def footer(client):
    return client.get("/pricing").content.decode().partition("<footer")[2]


def test_what_is_set_is_linked(client, settings):
    settings.CONTACT_EMAIL = "help@example.com"
    settings.TERMS_URL, settings.IMPRINT_URL = "https://example.com/terms", "https://example.com/imprint"
    shown = footer(client)
    assert '<a href="mailto:help@example.com">Contact</a>' in shown
    assert '<a href="https://example.com/terms">Terms</a>' in shown
    assert '<a href="https://example.com/imprint">Imprint</a>' in shown
    assert "Privacy" not in shown


def test_nothing_is_made_up(client, settings):
    settings.CONTACT_EMAIL = settings.TERMS_URL = settings.PRIVACY_URL = settings.IMPRINT_URL = ""
    shown = footer(client)
    for label in ("Contact", "Terms", "Privacy", "Imprint"):
        assert label not in shown


@pytest.mark.parametrize("contact", ["help@example.com", ""])
def test_a_mail_names_the_address(settings, contact):
    settings.CONTACT_EMAIL = contact
    kind, _, facts = SAMPLES["receipt"]
    mail = write(kind, facts)
    for text in (mail.text, mail.html):
        assert ("Questions? Write to help@example.com" in text) == bool(contact)
