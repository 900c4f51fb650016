"""Whatever allauth's log-in page would ask for, the API does not give a token without.

pitfalls.md: simplejwt's stock token view let in a user with an unverified address and an active second factor.
"""

import pytest
from allauth.account.models import EmailAddress
from allauth.account.stages import LoginStage
from django.http import HttpResponseRedirect

from accounts.adapters import AccountAdapter
from accounts.models import RefreshTokenFamily


@pytest.mark.usefixtures("mandatory_verification")
class TestMandatoryVerification:
    def test_an_unverified_address_gets_a_mail_and_no_token(self, alice, log_in, mailoutbox):
        response = log_in(alice)
        assert (response.status_code, response.json()["code"]) == (403, "email_not_verified")
        assert not response.cookies
        assert not RefreshTokenFamily.objects.exists()
        [mail] = mailoutbox
        assert mail.to == [alice.email]
        assert "/accounts/confirm-email/" in mail.body

    def test_a_wrong_password_does_not_tell_that_it_is_unverified(self, alice, post, mailoutbox):
        response = post("auth/login", {"email": alice.email, "password": "wrong"})
        assert (response.status_code, response.json()["code"]) == (401, "invalid_credentials")
        assert not mailoutbox

    def test_a_verified_address_gets_in(self, alice, log_in):
        EmailAddress.objects.create(user=alice, email=alice.email, primary=True, verified=True)
        assert log_in(alice).status_code == 200


def test_an_unverified_address_gets_in_while_verification_is_optional(alice, log_in):
    assert log_in(alice).status_code == 200


class SecondFactor(LoginStage):
    """Stands for a stage that somebody adds one day."""

    key = "second_factor"
    urlname = "account_login"

    def handle(self):
        return HttpResponseRedirect("/second-factor"), True


def test_an_unknown_stage_gets_no_token(alice, log_in, monkeypatch):
    path = f"{__name__}.SecondFactor"
    stages = AccountAdapter.get_login_stages
    monkeypatch.setattr(AccountAdapter, "get_login_stages", lambda self: [*stages(self), path])
    response = log_in(alice)
    assert (response.status_code, response.json()["code"]) == (403, "log_in_needs_another_step")
    assert not response.cookies
    assert not RefreshTokenFamily.objects.exists()
