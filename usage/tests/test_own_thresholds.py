"""A percentage of one's own warns like 80, 95 and 100 do: alert, banner, API, mail. The fixed ones stay as they are."""

import pytest
from django.urls import reverse
from django.utils import timezone

from datilio.errors import InvalidInput
from usage.batches import record_batch
from usage.holds import hold, settle
from usage.limits import limits_of, warnings_of
from usage.models import UsageAlert, UsageWarningChoice
from usage.serializers import UsageWarning
from usage.tests.conftest import NOON
from usage.uses import use_of
from usage.warning_choices import WARNS, Choice, choices_of, set_warning_choices


def warnings(user):
    return [(one["feature"], one["level"], one["threshold"]) for one in warnings_of(limits_of(user.pk, NOON))]


def alerts():
    return list(UsageAlert.objects.order_by("threshold").values_list("feature", "threshold"))


@pytest.fixture
def at_half(alice, give_plan):
    give_plan(alice)
    set_warning_choices(alice.pk, {"synthetic_rows": Choice(own_threshold=50)})
    return alice


def test_it_warns_from_there_on(at_half, use):
    use(at_half, "synthetic_rows", 499)
    assert (warnings(at_half), alerts()) == ([], [])
    use(at_half, "synthetic_rows", 1)
    assert warnings(at_half) == [("synthetic_rows", "custom", 50)]
    assert alerts() == [("synthetic_rows", 50)]
    [warning] = warnings_of(limits_of(at_half.pk, NOON))
    assert set(warning) == set(UsageWarning().fields)
    assert "500 of 1,000 rows" in warning["message"]


def test_the_fixed_levels_stay_what_they_are(at_half, use):
    for used, level, threshold in [(800, "approaching", 80), (150, "critical", 95), (50, "exceeded", 100)]:
        use(at_half, "synthetic_rows", used)
        assert warnings(at_half) == [("synthetic_rows", level, threshold)]
    assert [threshold for _, threshold in alerts()] == [50, 80, 95, 100]


def test_one_between_them_is_named_and_the_level_is_that_below(alice, give_plan, use):
    give_plan(alice)
    set_warning_choices(alice.pk, {"synthetic_rows": Choice(own_threshold=90)})
    use(alice, "synthetic_rows", 920)
    assert warnings(alice) == [("synthetic_rows", "approaching", 90)]
    assert [threshold for _, threshold in alerts()] == [80, 90]


def test_one_that_is_fixed_anyway_is_told_once(alice, give_plan, use):
    give_plan(alice)
    set_warning_choices(alice.pk, {"synthetic_rows": Choice(own_threshold=80)})
    use(alice, "synthetic_rows", 800)
    assert alerts() == [("synthetic_rows", 80)]


def test_it_is_for_one_feature_of_one_user(at_half, bob, make_plan, give_plan, use):
    give_plan(bob, make_plan("Other"))
    use(bob, "synthetic_rows", 600)
    use(at_half, "ai_prompt", 2)
    assert (alerts(), warnings(bob), warnings(at_half)) == ([], [], [])


def test_a_choice_counts_from_the_next_use_on(at_half, use):
    use(at_half, "synthetic_rows", 10)
    set_warning_choices(at_half.pk, {"synthetic_rows": Choice(own_threshold=5)})
    use(at_half, "synthetic_rows", 50)
    assert alerts() == [("synthetic_rows", 5)]


def test_a_batch_and_a_hold_that_is_settled_reach_it_too(at_half, use):
    event = use_of(at_half.pk, "synthetic_rows", 510, source="test", key="of-a-batch")
    record_batch([event], source="test", now=NOON)
    assert alerts() == [("synthetic_rows", 50)]
    set_warning_choices(at_half.pk, {"synthetic_rows": Choice(own_threshold=60)})
    held = hold(at_half.pk, "synthetic_rows", 200, source="test", key="h", now=NOON)
    settle(held.hold["id"], 100, source="test", now=NOON)
    assert alerts() == [("synthetic_rows", 50), ("synthetic_rows", 60)]


def test_without_a_choice_everything_is_as_it_was(alice):
    assert choices_of(alice.pk) == dict.fromkeys(WARNS, Choice(None, True))
    assert list(WARNS) == ["file_upload", "ai_prompt", "synthetic_rows", "ai_spend"]


@pytest.mark.parametrize("percent", [0, 100, -1, 101])
def test_only_1_to_99_percent(alice, percent):
    with pytest.raises(InvalidInput):
        set_warning_choices(alice.pk, {"ai_prompt": Choice(own_threshold=percent)})


def test_what_no_plan_limits_has_no_percentage(alice):
    with pytest.raises(InvalidInput):
        set_warning_choices(alice.pk, {"ai_token": Choice(own_threshold=50)})


# --- the form ---------------------------------------------------------------------------------------------------------

URL = "/account/usage/warnings"


@pytest.mark.slow
def test_the_page_saves_it_and_shows_it_again(client, alice):
    client.force_login(alice)
    response = client.post(URL, {"ai_prompt-own": "60", "ai_prompt-mails": "on", "file_upload-mails": "on"})
    assert (response.status_code, response["Location"]) == (303, reverse("accounts:usage") + "#warnings")
    assert choices_of(alice.pk) == {
        "file_upload": Choice(None, True),
        "ai_prompt": Choice(60, True),
        "synthetic_rows": Choice(None, False),
        "ai_spend": Choice(None, False),
    }
    page = client.get("/account/usage").content.decode()
    assert 'value="60"' in page and "Saved." in page


def test_the_same_form_twice_is_the_same_choice(client, alice):
    client.force_login(alice)
    for _ in range(2):
        client.post(URL, {"ai_prompt-own": "60"})
    assert UsageWarningChoice.objects.filter(user=alice).count() == 4


@pytest.mark.parametrize("wrong", ["0", "100", "abc", "1.5", "9" * 30, "\x00"])
def test_what_is_no_percentage_is_said_at_its_field(client, alice, wrong):
    client.force_login(alice)
    response = client.post(URL, {"ai_prompt-own": wrong})
    assert response.status_code == 400
    assert "A whole number from 1 to 99, or nothing." in response.content.decode()
    assert not UsageWarningChoice.objects.exists()


def test_a_stranger_logs_in_first_and_lands_on_the_page(client, alice):
    response = client.post(URL, {"ai_prompt-own": "60"})
    assert response["Location"] == f"/accounts/login/?next={URL}"
    client.force_login(alice)
    assert client.get(URL)["Location"] == "/account/usage"


def test_the_banner_says_it_on_every_page(client, alice, give_plan, use):
    now = timezone.now()
    give_plan(alice, start=now)
    set_warning_choices(alice.pk, {"synthetic_rows": Choice(own_threshold=30)})
    use(alice, "synthetic_rows", 300, now=now)
    client.force_login(alice)
    assert "You have used 300 of 1,000 rows" in client.get("/pricing").content.decode()
