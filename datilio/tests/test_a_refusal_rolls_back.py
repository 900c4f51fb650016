"""Under ATOMIC_REQUESTS, DRF asks an exception handler to roll back: one that forgets answers 409 and keeps the row."""

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from billing.errors import AlreadySubscribed


class HalfDone(APIView):
    authentication_classes = permission_classes = ()

    def post(self, request):
        get_user_model().objects.create_user("half@example.com", "a long password")
        raise AlreadySubscribed()


@pytest.mark.django_db(transaction=True)
def test_what_a_refused_request_wrote_is_taken_back(monkeypatch):
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    answer = transaction.atomic(HalfDone.as_view())(APIRequestFactory().post("/"))
    assert answer.status_code == 409
    assert not get_user_model().objects.filter(email="half@example.com").exists()
