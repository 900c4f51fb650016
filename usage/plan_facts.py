"""What a limit needs to know of somebody's plan, without asking the database for every event.

An event is counted by a statement that checks the remembered facts itself (STILL_HOLD): a plan that has changed counts
nothing, and the caller reads anew. So limits are exact, and nothing has to be told of changes.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connection, transaction
from django.db.models import OuterRef, QuerySet, Subquery

from billing.models import Plan, UserPlan
from usage.arrays import array_of_encoded, numbers
from usage.models import SpendCap
from usage.prepared import encoded, prepared

# At about 3 kB each.
MOST = 20_000

# What is_active, usage_anchor and the limits are made of, and what shows that a row is another version.
_FIELDS = (
    "user_id",
    "plan_id",
    "is_live",
    "status",
    "start_date",
    "usage_anchored_at",
    "cancel_at",
    "ended_at",
    "past_due_since",
    "disputed_since",
    "synced_at",
    "current_period_start",
    "current_period_end",
    "token_price_cents",
    "plan__updated_at",
    "plan__ai_token_price_per_million",
    "plan__file_limit",
    "plan__file_size_limit_mb",
    "plan__ai_prompts_per_day",
    "plan__synthetic_rows_per_month",
)

# What stands for "no cap" where SQL compares.
_NO_CAP = -1

# A condition for SQL, with the parameters of `proof`. Sync writes `synced_at` with every look, saving a plan
# `updated_at`; the customer's own cap is compared itself. `+ 0`: without statistics PostgreSQL would rather walk
# through all subscribers of the plan by its index.
_OWN_HOLDS = """EXISTS (SELECT 1 FROM billing_userplan up
    WHERE up.id = %(user_plan_id)s AND up.is_live AND up.status = %(status)s AND up.synced_at = %(synced_at)s
      AND up.plan_id + 0 = %(plan_id)s
      AND COALESCE((SELECT s.cents FROM usage_spendcap s WHERE s.user_id = up.user_id), -1) = %(spend_cap)s {each})"""
_PLAN_HOLDS = """EXISTS (SELECT 1 FROM billing_plan p
    WHERE p.id = %(plan_id)s AND p.updated_at = %(plan_updated_at)s {each})"""
STILL_HOLD = f"{_OWN_HOLDS} AND {_PLAN_HOLDS}".format(each="")

# What proves somebody's own row, and what many have in common: the parameters of STILL_HOLD, in the order of `proof`.
_OWN: dict[str, type] = {"user_plan_id": int, "synced_at": datetime}
_COMMON: dict[str, type] = {
    "status": str,
    "plan_id": int,
    "plan_updated_at": datetime,
    "spend_cap": int,
}
PROOF = _OWN | _COMMON


def _of_each(condition: str) -> str:
    """With an OFFSET each is looked up; without, PostgreSQL may read the plans of all subscribers into a hash first."""
    return re.sub(r"%[(](\w+)[)]s", r"w.\1", condition.format(each="OFFSET 0"))


# The same for many, with the parameters of `proof_arrays`: those that no longer hold.
NO_LONGER_HOLD = f"""
    SELECT w.user_plan_id
    FROM (SELECT * FROM unnest(%(user_plan_ids)s::bigint[], %(synced_ats)s::timestamptz[], %(commons)s::bigint[])
            AS o (user_plan_id, synced_at, common)
        JOIN (SELECT w.*, {_of_each(_PLAN_HOLDS)} AS plan_holds
            FROM unnest(%(statuses)s::text[], %(plan_ids)s::bigint[], %(plan_updated_ats)s::timestamptz[],
                %(spend_caps)s::bigint[])
            WITH ORDINALITY AS w (status, plan_id, plan_updated_at, spend_cap, common) OFFSET 0) c USING (common)) w
    WHERE NOT (w.plan_holds AND {_of_each(_OWN_HOLDS)})"""


class Terms:
    """What decides how much of everything somebody may use, and in which windows: the plan's limits, and the day of the
    month on which windows begin. Who has the same shares them. slots: what usage/uses.py has worked out under them."""

    __slots__ = ("slots",)

    def __init__(self) -> None:
        self.slots: dict[Any, Any] = {}


class Facts:
    """A user's live plan, with its plan, as limits know it.

    user_plan: the row, only with the fields that limits need. active_until, terms: as it says. own, common: what proves
    it, as it is sent; `own` goes by the row, `common` is shared.
    Nearly all that a plain event looks at is here, or shared: of thousands of users each has gone cold by its next
    event, and every object of theirs costs as much as a line of Python.
    """

    __slots__ = ("active_until", "common", "own", "terms", "user_plan")

    def __init__(self, user_plan: UserPlan) -> None:
        self.user_plan = user_plan
        self.active_until = user_plan.active_until
        # Kept with the plan: a plan that has changed is another object.
        by_day = user_plan.plan.__dict__.setdefault("_terms", {})
        self.terms: Terms = by_day.setdefault(user_plan.usage_anchor.astimezone(UTC).day, Terms())
        values = proof(user_plan)
        self.own = tuple(encoded(values[: len(_OWN)]))
        self.common = _common_texts(values[len(_OWN) :])

    def is_active(self, now: datetime) -> bool:
        return now < self.active_until

    @property
    def spend_cap_cents(self) -> int | None:
        """The customer's own cap on AI tokens in a month, in cents; None: there is none."""
        return self.user_plan.spend_cap_cents

    @property
    def token_terms(self) -> Any:
        """`terms` of AI tokens, with what decides what they cost."""
        row = self.user_plan
        if not row.token_price_cents:
            return self.terms
        bill = row.current_period_start, row.current_period_end
        return self.terms, row.token_price_cents, *bill, self.spend_cap_cents


@lru_cache(maxsize=4096)
def _common_texts(values: tuple[Any, ...]) -> tuple[bytes | None, ...]:
    return tuple(encoded(values))


_remembered: dict[int, Facts] = {}


def plan_facts(user_id: int) -> Facts | None:
    """The user's live plan; perhaps as it was a while ago, or before this transaction: for who proves it."""
    remembered = _remembered.get(user_id)
    return plan_facts_now(user_id) if remembered is None else remembered


def plan_facts_now(user_id: int) -> Facts | None:
    """The same, as it is now."""
    return plan_facts_of_many([user_id]).get(user_id)


def plan_facts_of_many(user_ids: list[int]) -> dict[int, Facts]:
    """{user: live plan} as it is now, without those who have none. One query about those that are remembered, one
    about the others, who are remembered when the transaction commits; that a plan may have changed by then is what
    STILL_HOLD is for."""
    proven = _proven(user_ids)
    unknown = [user_id for user_id in user_ids if user_id not in proven]
    if not unknown:
        return proven
    found = {user_plan.user_id: Facts(user_plan) for user_plan in _look_for(unknown)}
    transaction.on_commit(lambda: _remember(unknown, found))
    return proven | found


def known_plan_facts(user_ids: list[int]) -> dict[int, Facts]:
    """{user: live plan}, without those who have none: `plan_facts` of many, for who proves them."""
    known = {user_id: facts for user_id in user_ids if (facts := _remembered.get(user_id)) is not None}
    unknown = [user_id for user_id in user_ids if user_id not in known]
    return known | plan_facts_of_many(unknown) if unknown else known


def _proven(user_ids: list[int]) -> dict[int, Facts]:
    """Of the remembered ones those that the database says hold. One query for many: reading it all again would cost
    several times as much."""
    if len(user_ids) == 1 or connection.vendor != "postgresql":
        return {}
    remembered = {user_id: facts for user_id in user_ids if (facts := _remembered.get(user_id)) is not None}
    if not remembered:
        return {}
    with prepared(), connection.cursor() as cursor:
        cursor.execute(NO_LONGER_HOLD, proof_arrays(remembered.values()))
        changed = {user_plan_id for (user_plan_id,) in cursor.fetchall()}
    return {user_id: facts for user_id, facts in remembered.items() if facts.user_plan.pk not in changed}


def _remember(user_ids: list[int], facts: dict[int, Facts]) -> None:
    for user_id in user_ids:
        _remembered.pop(user_id, None)
    while _remembered and len(_remembered) + len(facts) > MOST:
        # The oldest goes; another thread may have taken it already.
        _remembered.pop(next(iter(_remembered), 0), None)
    _remembered.update(facts)


def _look_for(user_ids: list[int]) -> Iterable[UserPlan]:
    if connection.vendor != "postgresql":
        return _live_plans().filter(user_id__in=user_ids)
    # Every first event of a user in a process asks this, and Django takes longer to write the query than PostgreSQL to
    # answer it.
    with prepared(), connection.cursor() as cursor:
        cursor.execute(_query(), [numbers(user_ids)])
        return [_user_plan(*row) for row in cursor.fetchall()]


@cache
def _live_plans() -> QuerySet[UserPlan]:
    """Never run itself: putting it together costs as much as running it."""
    plans = UserPlan.objects.live().select_related("plan").only(*_FIELDS)
    return plans.annotate(spend_cap_cents=_cap()).order_by()


def _cap() -> Subquery:
    return Subquery(SpendCap.objects.filter(user_id=OuterRef("user_id")).values("cents"))


@cache
def _query() -> str:
    """The same query, with an array of users as its only parameter."""
    own, of_plan = _columns()
    rows = UserPlan.objects.filter(is_live=True, user_id__in=[0]).annotate(cap=_cap()).order_by()
    sql, params = rows.values_list("cap", *own, *(f"plan__{name}" for name in of_plan)).query.sql_with_params()
    assert params == (0,) and sql.count(" IN (%s)") == 1, sql
    return sql.replace(" IN (%s)", " = ANY(%s::bigint[])")


@cache
def _columns() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(of UserPlan, of Plan): the columns of _FIELDS and the keys, in the models' order, as Model.from_db wants."""
    own = {"id"} | {name for name in _FIELDS if not name.startswith("plan__")}
    of_plan = {"id"} | {name.removeprefix("plan__") for name in _FIELDS if name.startswith("plan__")}
    in_order = [
        tuple(field.attname for field in model._meta.concrete_fields if field.attname in names)
        for model, names in ((UserPlan, own), (Plan, of_plan))
    ]
    return in_order[0], in_order[1]


def _user_plan(cap: int | None, *values: Any) -> UserPlan:
    own, of_plan = _columns()
    user_plan = UserPlan.from_db(DEFAULT_DB_ALIAS, own, values[: len(own)])
    user_plan.plan = _plan(of_plan, values[len(own) :])
    user_plan.spend_cap_cents = cap
    return user_plan


# More than there are plans; each version that is remembered keeps what was worked out under it.
@lru_cache(maxsize=64)
def _plan(names: tuple[str, ...], values: tuple[Any, ...]) -> Plan:
    """Customers of one plan share it: 20,000 copies would be most of what is remembered, and garbage collection's."""
    return Plan.from_db(DEFAULT_DB_ALIAS, names, values)


def same_version(one: Facts | None, other: Facts | None) -> bool:
    """Do two looks at a user's plan say the same?"""
    if one is None or other is None:
        return one is other
    return one.own == other.own and one.common == other.common


def proof(user_plan: UserPlan) -> tuple[Any, ...]:
    """The values of PROOF for a row from here."""
    plan, cap = user_plan.plan, user_plan.spend_cap_cents
    return (
        user_plan.pk,
        user_plan.synced_at,
        user_plan.status,
        plan.pk,
        plan.updated_at,
        _NO_CAP if cap is None else cap,
    )


def proof_arrays(many: Iterable[Facts]) -> dict[str, str]:
    """The parameters of NO_LONGER_HOLD. What many have in common is sent once."""
    commons: dict[tuple[bytes | None, ...], int] = {}
    own, places = [], []
    for facts in many:
        own.append(facts.own)
        places.append(commons.setdefault(facts.common, len(commons) + 1))
    ids, moments = zip(*own, strict=True)
    statuses, plan_ids, updated, caps = zip(*commons, strict=True)
    return {
        "user_plan_ids": array_of_encoded(ids),
        "synced_ats": array_of_encoded(moments),
        "commons": numbers(places),
        "statuses": array_of_encoded(statuses),
        "plan_ids": array_of_encoded(plan_ids),
        "plan_updated_ats": array_of_encoded(updated),
        "spend_caps": array_of_encoded(caps),
    }
