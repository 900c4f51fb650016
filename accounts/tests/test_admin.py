import pytest
from allauth.account.models import EmailAddress
from django.contrib.auth import SESSION_KEY

from accounts.models import RefreshTokenFamily, User

USERS = "/admin/accounts/user/"
FAMILIES = "/admin/accounts/refreshtokenfamily/"


def test_its_log_in_is_the_sites_own(db, client):
    # Django's own form would know nothing of allauth's failure count and verification.
    response = client.get("/admin/login/?next=/admin/")
    assert (response.status_code, response.url) == (302, "/accounts/login/?next=%2Fadmin%2F")
    client.post("/admin/login/", {"username": "staff@example.com", "password": "staff's long password"})
    assert SESSION_KEY not in client.session


def test_customers_are_kept_out(alice, client):
    client.force_login(alice)
    assert client.get("/admin/").status_code in (302, 403)
    assert client.get("/admin/login/").status_code == 403


def test_users_are_listed_and_found_by_how_their_address_begins(admin, alice, bob):
    page = admin.get(USERS, {"q": "ALICE"}).content.decode()
    assert "alice@example.com" in page
    assert "bob@example.com" not in page


@pytest.mark.parametrize("path", [USERS, FAMILIES])
def test_the_lists_take_as_many_queries_for_many_rows(admin, alice, log_in, path, django_assert_max_num_queries):
    for n in range(20):
        user = User.objects.create_user(f"user{n}@example.com", "x")
        RefreshTokenFamily.objects.create(user=user, current_jti=str(n), expires_at=user.date_joined)
    admin.get(path)
    with django_assert_max_num_queries(7):
        assert admin.get(path).status_code == 200


def test_a_user_is_added_with_the_address_in_lower_case(admin):
    password = "correct horse battery"
    admin.post(
        USERS + "add/",
        {"email": "Carol@Example.com", "usable_password": "true", "password1": password, "password2": password},
    )
    assert User.objects.get(email="carol@example.com").check_password(password)


def test_a_taken_address_is_refused_whatever_its_case(admin, alice):
    password = "correct horse battery"
    response = admin.post(
        USERS + "add/",
        {"email": "ALICE@example.com", "usable_password": "true", "password1": password, "password2": password},
    )
    assert "There is an account with this address." in response.content.decode()


def test_a_changed_address_leaves_no_way_in_with_the_old_one(admin, alice, post):
    EmailAddress.objects.create(user=alice, email=alice.email, primary=True, verified=True)
    form = admin.get(f"{USERS}{alice.pk}/change/").context["adminform"].form
    data = {name: value for name, value in form.initial.items() if value not in (None, False)}
    admin.post(f"{USERS}{alice.pk}/change/", data | {"email": "Alicia@example.com"})
    assert list(EmailAddress.objects.filter(user=alice).values_list("email", "primary", "verified")) == [
        ("alicia@example.com", True, False)
    ]
    password = "alice's long password"
    assert post("auth/login", {"email": "alice@example.com", "password": password}).status_code == 401
    assert post("auth/login", {"email": "alicia@example.com", "password": password}).status_code == 200


def test_log_ins_are_shown_and_revoked_but_not_edited(admin, alice, log_in, refresh):
    log_in(alice)
    family = RefreshTokenFamily.objects.get()
    assert admin.get(f"{FAMILIES}add/").status_code == 403
    page = admin.get(f"{FAMILIES}{family.pk}/change/").content.decode()
    assert "alice@example.com" in page
    assert 'name="_save"' not in page
    assert family.current_jti not in page
    admin.post(FAMILIES, {"action": "revoke", "_selected_action": [family.pk]})
    assert refresh().json()["code"] == "refresh_token_not_valid"
