"""The table of what is metered is complete and fits the plans."""

from billing.models import Plan
from usage.features import FEATURES, Feature


def test_every_feature_stands_in_the_table():
    assert list(FEATURES) == [feature.value for feature in Feature]


def test_the_limits_it_names_are_fields_of_a_plan():
    for metered in FEATURES.values():
        for field in (metered.limit_field, metered.per_item_limit_field):
            assert field is None or Plan._meta.get_field(field).null, f"{field}: None must mean unlimited"


def test_only_what_is_stored_can_be_given_back():
    assert [f for f, metered in FEATURES.items() if metered.can_be_given_back] == ["file_upload"]
