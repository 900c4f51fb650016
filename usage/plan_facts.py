"""What a limit needs to know of somebody's plan, without asking the database for every event.

An event is counted by a statement that checks the remembered facts itself (STILL_HOLD): a plan that has changed counts
nothing, and the caller reads anew. So limits are exact, and nothing has to be told of changes.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from functools import cache, lru_cache
from typing import Any, cast

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
_HOLDS = """EXISTS (SELECT 1 FROM billing_userplan up
    WHERE up.id = %(user_plan_id)s AND up.is_live AND up.status = %(status)s AND up.synced_at = %(synced_at)s
      AND up.plan_id + 0 = %(plan_id)s
      AND COALESCE((SELECT s.cents FROM usage_spendcap s WHERE s.user_id = up.user_id), -1) = %(spend_cap)s {each})
    AND EXISTS (SELECT 1 FROM billing_plan p
    WHERE p.id = %(plan_id)s AND p.updated_at = %(plan_updated_at)s {each})"""
STILL_HOLD = _HOLDS.format(each="")

# Its parameters, in the order of `proof`.
PROOF: dict[str, type] = {
    "user_plan_id": int,
    "status": str,
    "synced_at": datetime,
    "plan_id": int,
    "plan_updated_at": datetime,
    "spend_cap": int,
}
# With an OFFSET each is looked up; without, PostgreSQL may read the plans of all subscribers into a hash first.
_OF_EACH = re.sub(r"%[(](\w+)[)]s", r"w.\1", _HOLDS.format(each="OFFSET 0"))
# The same for many, with the parameters of `proof_arrays`: those that no longer hold.
NO_LONGER_HOLD = f"""
    SELECT w.user_plan_id FROM unnest(%(user_plan_id)s::bigint[], %(status)s::text[], %(synced_at)s::timestamptz[],
        %(plan_id)s::bigint[], %(plan_updated_at)s::timestamptz[], %(spend_cap)s::bigint[])
    AS w ({", ".join(PROOF)})
    WHERE NOT ({_OF_EACH})"""

_remembered: dict[int, UserPlan] = {}


def plan_facts(user_id: int) -> UserPlan | None:
    """The user's live plan with its plan, only with the fields that limits need; perhaps as it was a while ago, or
    before this transaction: for who proves it."""
    remembered = _remembered.get(user_id)
    return plan_facts_now(user_id) if remembered is None else remembered


def plan_facts_now(user_id: int) -> UserPlan | None:
    """The same, as it is now."""
    return plan_facts_of_many([user_id]).get(user_id)


def plan_facts_of_many(user_ids: list[int]) -> dict[int, UserPlan]:
    """{user: live plan} as it is now, without those who have none. One query about those that are remembered, one
    about the others, who are remembered when the transaction commits; that a plan may have changed by then is what
    STILL_HOLD is for."""
    proven = _proven(user_ids)
    unknown = [user_id for user_id in user_ids if user_id not in proven]
    if not unknown:
        return proven
    found = {user_plan.user_id: user_plan for user_plan in _look_for(unknown)}
    transaction.on_commit(lambda: _remember(unknown, found))
    return proven | found


def known_plan_facts(user_ids: list[int]) -> dict[int, UserPlan]:
    """{user: live plan}, without those who have none: `plan_facts` of many, for who proves them."""
    known = {user_id: facts for user_id in user_ids if (facts := _remembered.get(user_id)) is not None}
    unknown = [user_id for user_id in user_ids if user_id not in known]
    return known | plan_facts_of_many(unknown) if unknown else known


def _proven(user_ids: list[int]) -> dict[int, UserPlan]:
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
    return {user_id: facts for user_id, facts in remembered.items() if facts.pk not in changed}


def _remember(user_ids: list[int], facts: dict[int, UserPlan]) -> None:
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
    proof_texts(user_plan)
    return user_plan


@lru_cache(maxsize=1000)
def _plan(names: tuple[str, ...], values: tuple[Any, ...]) -> Plan:
    """Customers of one plan share it: 20,000 copies would be most of what is remembered, and garbage collection's."""
    return Plan.from_db(DEFAULT_DB_ALIAS, names, values)


def spend_cap_cents(user_plan: UserPlan) -> int | None:
    """The customer's own cap on AI tokens in a month, in cents; None: there is none. Of facts from here."""
    return user_plan.spend_cap_cents


def same_version(one: UserPlan | None, other: UserPlan | None) -> bool:
    """Do two looks at a user's plan say the same?"""
    return one is other or (one is not None and other is not None and proof(one) == proof(other))


def proof(user_plan: UserPlan) -> tuple[Any, ...]:
    """The values of PROOF for these facts."""
    plan, cap = user_plan.plan, spend_cap_cents(user_plan)
    return (
        user_plan.pk,
        user_plan.status,
        user_plan.synced_at,
        plan.pk,
        plan.updated_at,
        _NO_CAP if cap is None else cap,
    )


def proof_arrays(many: Iterable[UserPlan]) -> dict[str, str]:
    """The parameters of NO_LONGER_HOLD."""
    columns = zip(*map(proof_texts, many), strict=True)
    return dict(zip(PROOF, map(array_of_encoded, columns), strict=True))


def proof_texts(user_plan: UserPlan) -> list[bytes]:
    """The same as they are sent. Made once: nobody changes facts."""
    if (made := user_plan.__dict__.get("_proof_texts")) is None:
        made = user_plan._proof_texts = cast("list[bytes]", encoded(proof(user_plan)))
    return made
