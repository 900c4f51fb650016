"""Staff close somebody's account in the admin, by the same rules as the person."""

import pytest
from django.contrib.admin.models import LogEntry

from accounts.models import User

pytestmark = pytest.mark.django_db


def page_of(user):
    return f"/admin/accounts/user/{user.pk}/close/"


def test_they_see_what_happens_first(admin, staff, alice, stripe):
    assert "Close the account" in admin.get(f"/admin/accounts/user/{alice.pk}/change/").content.decode()
    assert "This cannot be undone." in admin.get(page_of(alice)).content.decode()
    admin.post(page_of(alice))
    assert User.objects.get(pk=alice.pk).is_active
    assert admin.post(page_of(alice), {"_confirmed": "Yes"}).status_code == 302
    assert not User.objects.get(pk=alice.pk).is_active
    assert LogEntry.objects.get(object_id=str(alice.pk)).user == staff


def test_staff_accounts_are_refused(admin, staff):
    answer = admin.post(page_of(staff), {"_confirmed": "Yes"})
    assert answer.status_code == 409
    assert "Take its staff rights away first" in answer.content.decode()
    assert User.objects.get(pk=staff.pk).is_active


def test_it_takes_the_right_to_change_users(client, alice):
    helper = User.objects.create_user("helper@example.com", "x", is_staff=True)
    client.force_login(helper)
    assert client.post(page_of(alice), {"_confirmed": "Yes"}).status_code == 403
    assert User.objects.get(pk=alice.pk).is_active
