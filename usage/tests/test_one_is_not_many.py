"""Where one is meant, one is written: 1 prompt, not 1 prompts."""

import uuid

import pytest
from django.urls import reverse
from django.utils import timezone

from usage.errors import LimitExceeded
from usage.features import FEATURES
from usage.limits import limits_of, warnings_of
from usage.tests.conftest import NOON

pytestmark = pytest.mark.django_db


def test_a_refusal_and_a_warning(alice, give_plan, make_plan, use):
    give_plan(alice, make_plan(ai_prompts_per_day=1, file_limit=1))
    use(alice, "ai_prompt")
    use(alice, "file_upload")
    with pytest.raises(LimitExceeded, match="^1 of 1 prompt is used, and this takes 1 more"):
        use(alice, "ai_prompt")
    messages = {warning["feature"]: warning["message"] for warning in warnings_of(limits_of(alice.pk, NOON))}
    assert messages["ai_prompt"].startswith("You have used the 1 prompt of your plan today. ")
    assert messages["file_upload"].startswith("You have 1 file, and your plan allows 1. ")


def test_a_change_to_less():
    assert FEATURES["file_upload"].when_over(1, 0, "Explorer").startswith("1 file, Explorer allows 0")


def test_a_meter_and_what_is_said_of_a_press(client, alice, give_plan, make_plan):
    give_plan(alice, make_plan(ai_prompts_per_day=2), start=timezone.now())
    client.force_login(alice)
    fields = {"key": uuid.uuid4().hex, "prompt": "Hello"}
    page = client.post(reverse("usage:try_prompt"), fields, follow=True).content.decode()
    assert "2 tokens were counted. 1 of 2 prompts is left." in page
    assert "1 prompt left, 50 % used" in page
