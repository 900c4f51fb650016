"""Who may change users in the admin changes customers: no rights of their own, nor the log-in of a colleague."""

import pytest
from django.contrib.auth.models import Group, Permission

from accounts.models import User

USERS = "/admin/accounts/user/"


@pytest.fixture
def supporter(db, client):
    """A member of staff who may do everything with users, and is no superuser; logged in."""
    user = User.objects.create_user("support@example.com", "support's long password", is_staff=True)
    verbs = ("add", "change", "delete", "view")
    user.user_permissions.set(Permission.objects.filter(codename__in=[f"{verb}_user" for verb in verbs]))
    client.force_login(user)
    return user


def change(client, user, **values):
    form = client.get(f"{USERS}{user.pk}/change/").context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value not in (None, False)}
    return client.post(f"{USERS}{user.pk}/change/", {"email": user.email, "is_active": "on", **data, **values})


def test_a_customer_gets_no_rights_from_who_is_no_superuser(supporter, alice, client):
    group = Group.objects.create(name="Everything")
    rights = {"is_staff": "on", "is_superuser": "on", "groups": [group.pk], "user_permissions": [1]}
    assert change(client, alice, email="alicia@example.com", **rights).status_code == 302
    alice.refresh_from_db()
    assert (alice.email, alice.is_staff, alice.is_superuser) == ("alicia@example.com", False, False)
    assert not alice.groups.exists()
    assert not alice.user_permissions.exists()


def test_nobody_raises_themselves(supporter, client):
    response = client.post(f"{USERS}{supporter.pk}/change/", {"email": supporter.email, "is_superuser": "on"})
    assert response.status_code == 403
    supporter.refresh_from_db()
    assert not supporter.is_superuser


@pytest.mark.slow
@pytest.mark.parametrize("path", ["change/", "password/", "delete/"])
def test_a_colleague_is_changed_by_superusers_only(supporter, staff, client, path):
    password = "a new and long password"
    taken = {"email": "mine@example.com", "password1": password, "password2": password, "post": "yes"}
    assert client.post(f"{USERS}{staff.pk}/{path}", taken).status_code == 403
    staff.refresh_from_db()
    assert staff.email == "staff@example.com"
    assert staff.check_password("staff's long password")


def test_nor_deleted_from_the_list(supporter, staff, client):
    client.post(USERS, {"action": "delete_selected", "_selected_action": [staff.pk], "post": "yes"})
    assert User.objects.filter(pk=staff.pk).exists()


def test_a_superuser_gives_rights(admin, alice):
    change(admin, alice, is_staff="on")
    alice.refresh_from_db()
    assert alice.is_staff
