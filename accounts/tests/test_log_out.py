import pytest

from accounts.models import RefreshTokenFamily
from accounts.tests.conftest import cookie_of


def test_it_revokes_the_log_in_and_clears_the_cookie(alice, log_in, post, refresh):
    token = cookie_of(log_in(alice)).value
    response = post("auth/logout")
    assert response.status_code == 204
    assert cookie_of(response)["max-age"] == 0
    assert refresh(token).json()["code"] == "refresh_token_not_valid"


def test_it_can_be_repeated(alice, log_in, post):
    log_in(alice)
    assert [post("auth/logout").status_code for _ in range(3)] == [204] * 3


@pytest.mark.parametrize("cookie", ["", "garbage", "a.b.c"])
def test_it_minds_no_garbage(db, client, post, cookie):
    client.cookies["datilio_refresh"] = cookie
    assert post("auth/logout").status_code == 204


def test_an_older_token_of_the_log_in_ends_it_too(alice, log_in, post, refresh, client):
    older = cookie_of(log_in(alice)).value
    refresh()
    client.cookies["datilio_refresh"] = older
    post("auth/logout")
    assert RefreshTokenFamily.objects.get().revoked_at


def test_other_log_ins_live_on(alice, log_in, post, refresh):
    other = cookie_of(log_in(alice)).value
    log_in(alice)
    post("auth/logout")
    assert refresh(other).status_code == 200
