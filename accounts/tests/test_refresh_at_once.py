"""pitfalls.md: simplejwt minted more than one successor in 60 of 60 tries of four refreshes at once."""

import threading

import pytest
from django.db import connection
from django.test import Client

from accounts.api import REFRESH_COOKIE
from accounts.models import RefreshTokenFamily
from accounts.tests.conftest import cookie_of

pytestmark = pytest.mark.django_db(transaction=True)


def at_once(token, count=4):
    """The answers to `count` refreshes with the same token, sent together."""
    barrier, answers = threading.Barrier(count), []

    def refresh():
        client = Client(cookies={})
        client.cookies[REFRESH_COOKIE] = token
        barrier.wait(30)
        try:
            answers.append(client.post("/api/auth/refresh"))
        finally:
            connection.close()

    threads = [threading.Thread(target=refresh) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return answers


def test_four_at_once_get_one_successor(alice, log_in, refresh):
    token = cookie_of(log_in(alice)).value
    for _ in range(5):
        answers = at_once(token)
        assert [answer.status_code for answer in answers] == [200] * 4
        [token] = {cookie_of(answer).value for answer in answers}
    assert RefreshTokenFamily.objects.get().revoked_at is None
    assert refresh(token).status_code == 200
