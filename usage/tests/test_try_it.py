"""The "try it" panel: meters move, a double click counts once, a limit shows the way to upgrade, nothing is kept."""

import uuid
from io import BytesIO

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from usage.models import UsageCounter, UsageEvent
from usage.uploads import MB

UPLOAD, PROMPT, ROWS = "/try/upload", "/try/prompt", "/try/rows"


def key():
    return uuid.uuid4().hex


def file_of(size, name="data.csv"):
    return SimpleUploadedFile(name, b"x" * size)


def said(response):
    """What the account page is going to say, the newest last."""
    return [str(message) for message in get_messages(response.wsgi_request)]


def used(feature):
    counter = UsageCounter.objects.filter(feature=feature).first()
    return counter.used if counter else 0


@pytest.fixture
def customer(client, alice, give_plan, make_plan):
    """Alice, logged in, with 3 files of 1 MB, 3 prompts a day and 1,000 rows a month."""
    give_plan(alice, make_plan(file_limit=3, file_size_limit_mb=1), start=timezone.now())
    client.force_login(alice)
    return client


@pytest.mark.parametrize(
    ("url", "fields", "feature", "counted"),
    [
        (UPLOAD, {"file": file_of(10)}, "file_upload", "1 file was counted, and thrown away. 2 of 3 files are left."),
        (PROMPT, {"prompt": "How many?"}, "ai_prompt", "1 prompt and 4 tokens were counted. 2 of 3 prompts are left."),
        (ROWS, {"rows": "400"}, "synthetic_rows", "400 synthetic rows were counted. 600 of 1,000 rows are left."),
    ],
)
def test_a_press_counts_and_leads_back_to_the_account(customer, url, fields, feature, counted):
    response = customer.post(url, {"key": key()} | fields)
    assert (response.status_code, response["Location"]) == (302, reverse("accounts:settings"))
    assert said(response) == [counted]
    assert used(feature) == (400 if feature == "synthetic_rows" else 1)


def test_a_prompt_counts_its_tokens(customer):
    customer.post(PROMPT, {"key": key(), "prompt": "x" * 400})
    assert used("ai_token") == 200


@pytest.mark.parametrize(("url", "fields"), [(UPLOAD, {}), (PROMPT, {"prompt": "How many?"}), (ROWS, {"rows": "400"})])
def test_a_double_click_counts_once(customer, url, fields):
    same = key()
    for _ in range(2):
        sent = fields or {"file": file_of(10)}
        assert customer.post(url, {"key": same} | sent).status_code == 302
    assert UsageEvent.objects.filter(source__startswith="try-it:").count() == (2 if url == PROMPT else 1)


def test_the_same_key_of_two_customers_is_two_keys(customer, bob, give_plan, make_plan):
    give_plan(bob, make_plan("Other"))
    same, other = key(), Client()
    other.force_login(bob)
    for browser in (customer, other):
        browser.post(ROWS, {"key": same, "rows": "5"})
    assert UsageCounter.objects.count() == 2


def test_a_limit_shows_the_way_to_upgrade(customer):
    customer.post(ROWS, {"key": key(), "rows": "1000"})
    *_, message = said(customer.post(ROWS, {"key": key(), "rows": "1"}))
    assert message.startswith("1,000 of 1,000 rows are used, and this takes 1 more.")
    assert f'<a href="{reverse("pricing")}">See the plans</a>' in message


def test_without_a_plan_it_leads_to_the_plans(client, alice):
    client.force_login(alice)
    for url, fields in ((UPLOAD, {"file": file_of(10)}), (PROMPT, {"prompt": "x"}), (ROWS, {"rows": "1"})):
        *_, message = said(client.post(url, {"key": key()} | fields))
        assert "There is no plan" in message
        assert reverse("pricing") in message


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_file_of_exactly_the_limit_passes_and_one_byte_more_does_not(customer):
    customer.post(UPLOAD, {"key": key(), "file": file_of(MB)})
    assert used("file_upload") == 1
    *_, message = said(customer.post(UPLOAD, {"key": key(), "file": file_of(MB + 1)}))
    assert "is too large: the plan allows 1 MB per file." in message
    assert used("file_upload") == 1


def test_the_size_is_per_file_and_never_the_sum(customer):
    files = [file_of(MB - 100, f"{n}.csv") for n in range(3)]
    *_, message = said(customer.post(UPLOAD, {"key": key(), "file": files}))
    assert message.startswith("3 files were counted")


def test_one_file_too_large_refuses_all(customer):
    customer.post(UPLOAD, {"key": key(), "file": [file_of(10), file_of(MB + 1)]})
    assert used("file_upload") == 0


class Pipe(BytesIO):
    """A request body that remembers how far it was read."""

    def read(self, *args):
        data = super().read(*args)
        self.furthest = self.tell()
        return data


def test_a_huge_file_is_not_read_to_its_end(customer, alice):
    """It stops at the limit: 1 MB of a request that says it has 10 GB, of which 100 MB are there."""
    head = (
        f'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\n{key()}\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="huge"\r\n\r\n'
    ).encode()
    body = Pipe(head + b"x" * (100 * MB))
    response = customer.generic(
        "POST",
        UPLOAD,
        CONTENT_TYPE="multipart/form-data; boundary=b",
        CONTENT_LENGTH=str(10_000 * MB),
        **{"wsgi.input": body},
    )
    *_, message = said(response)
    assert "A file of 10,000" in message
    assert body.furthest < 2 * MB
    assert used("file_upload") == 0


def test_without_a_file_it_says_so(customer):
    assert said(customer.post(UPLOAD, {"key": key()})) == ["Choose a file first."]


# --- who and how ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", [UPLOAD, PROMPT, ROWS])
def test_only_posts(customer, url):
    assert customer.get(url).status_code == 405


@pytest.mark.parametrize("url", [UPLOAD, PROMPT, ROWS])
def test_strangers_are_led_to_the_log_in_and_back_to_the_account(client, db, url):
    response = client.post(url, {"key": key()})
    assert response.status_code == 302
    assert response["Location"] == f"{reverse('account_login')}?next={reverse('accounts:settings')}"


@pytest.mark.parametrize("url", [UPLOAD, PROMPT, ROWS])
def test_it_is_not_there_in_production(customer, url, settings):
    settings.EMBEDDED = False
    assert customer.post(url, {"key": key()}).status_code == 404


@pytest.mark.parametrize("url", [UPLOAD, PROMPT, ROWS])
def test_forms_need_their_csrf_token(alice, url):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(alice)
    fields = {"key": key(), "file": file_of(10), "prompt": "x", "rows": "1"}
    assert strict.post(url, fields).status_code == 403
    assert strict.post(url, fields, headers={"X-CSRFToken": "x" * 32}).status_code == 403
    assert not UsageEvent.objects.exists()


def test_an_upload_passes_with_its_token_in_the_form(customer, alice):
    from django.middleware.csrf import _get_new_csrf_string

    strict, token = Client(enforce_csrf_checks=True), _get_new_csrf_string()
    strict.force_login(alice)
    strict.cookies["csrftoken"] = token
    response = strict.post(UPLOAD, {"csrfmiddlewaretoken": token, "key": key(), "file": file_of(10)})
    assert response.status_code == 302
    assert used("file_upload") == 1


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        (PROMPT, {"prompt": ""}),
        (PROMPT, {"prompt": "x" * 4001}),
        (PROMPT, {"prompt": "a\x00b"}),
        (PROMPT, {}),
        (ROWS, {"rows": "0"}),
        (ROWS, {"rows": "-5"}),
        (ROWS, {"rows": "1.5"}),
        (ROWS, {"rows": "NaN"}),
        (ROWS, {"rows": "1" * 5000}),
        (ROWS, {"rows": "1000001"}),
        (ROWS, {"rows": "5", "key": "not a key"}),
        (ROWS, {"rows": "5", "key": "\x00" * 32}),
        (ROWS, {"rows": "5", "key": ""}),
        (UPLOAD, {"file": "not a file"}),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_bad_input_is_said_and_not_counted(customer, url, fields):
    response = customer.post(url, {"key": key()} | fields)
    assert response.status_code == 302
    *_, message = said(response)
    assert message
    assert not UsageEvent.objects.exists()


def test_a_key_that_was_used_for_something_else(customer):
    same = key()
    customer.post(ROWS, {"key": same, "rows": "5"})
    *_, message = said(customer.post(ROWS, {"key": same, "rows": "6"}))
    assert "was used for another request" in message
    assert used("synthetic_rows") == 5


@pytest.mark.slow
def test_with_htmx_the_panel_and_the_meters_come_back(customer):
    sent = key()
    htmx = {"HX-Request": "true"}
    response = customer.post(ROWS, {"key": sent, "rows": "400"}, headers=htmx)
    assert response.status_code == 200
    html = response.content.decode()
    assert 'id="try-it"' in html and 'id="meters"' in html and "hx-swap-oob" in html
    assert "400 synthetic rows were counted. 600 of 1,000 rows are left." in html
    assert sent not in html, "the next press needs a key of its own"
    refused = customer.post(ROWS, {"key": key(), "rows": "601"}, headers=htmx).content.decode()
    assert "400 of 1,000 rows are used, and this takes 601 more." in refused
    assert f'href="{reverse("pricing")}"' in refused
