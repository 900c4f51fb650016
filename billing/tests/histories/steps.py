"""Histories as plain data, drawn by seed: the same seed is the same history, whatever our code does in it."""

import random
from dataclasses import dataclass, field
from typing import Any

from billing.tests.histories.world import EPOCH

DAY = 86400
PLANS = ("explorer", "pro", "pro", "team", "team")
MONTHS = (1, 1, 1, 1, 12, 12, 3)
GOOD, FAILS_LATER, DECLINED = "4242424242424242", "4000000000000341", "4000000000000002"
ASKS_ONCE, ASKS_ALWAYS, DISPUTES = "4000002500003155", "4000002760003184", "4000000000000259"
CARDS = (GOOD, GOOD, GOOD, GOOD, GOOD, FAILS_LATER, DECLINED, ASKS_ONCE, ASKS_ALWAYS, DISPUTES)
FAULTS = ("rate_limited", "no_answer", "server_error", "slow", "die_after_write")
DETOURS = ("drop", "duplicate", "delay", "reorder")

Step = tuple[str, dict[str, Any]]


@dataclass
class History:
    """start: Unix seconds. steps: (name of a World.do_ method without do_, its arguments)."""

    seed: int
    start: int
    steps: list[Step] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [f"seed {self.seed}, start {self.start}"]
        for name, arguments in self.steps:
            told = ", ".join(f"{key}={value!r}" for key, value in arguments.items())
            lines.append(f"  world.do_{name}({told})")
        return "\n".join(lines)


def draw(seed: int) -> History:
    """The history with this number."""
    r = random.Random(f"history {seed}")
    # Month's ends, leap days and ordinary days.
    history = History(seed, EPOCH + r.randrange(1, 800) * DAY + r.randrange(DAY))
    people = r.choice((1, 1, 1, 2, 2, 3))
    if r.random() < 0.6:
        history.steps.append(_chaos(r))
    for user in range(people):
        if r.random() < 0.8:
            history.steps += _first_purchase(r, user)
    for _ in range(r.randrange(3, 11)):
        history.steps += _one(r, r.randrange(people))
    return history


def _chaos(r: random.Random) -> Step:
    switches = {name: round(r.choice((0.05, 0.15, 0.3)), 2) for name in r.sample(FAULTS, r.randrange(0, 4))}
    switches |= {name: round(r.choice((0.2, 0.5)), 2) for name in r.sample(DETOURS, r.randrange(0, 4))}
    return "chaos", {"seed": r.randrange(10**6), **switches}


def _again(r: random.Random) -> int:
    return r.choice((0, 0, 1, 2))


def _first_purchase(r: random.Random, user: int) -> list[Step]:
    choice = {"user": user, "plan": r.choice(PLANS), "months": r.choice(MONTHS)}
    steps: list[Step] = [("checkout", choice | {"again": _again(r)}), _pay(r, user)]
    if r.random() < 0.4:
        steps.append(("deliver", {}))
    return steps


def _pay(r: random.Random, user: int) -> Step:
    return "pay", {
        "user": user,
        "card": r.choice(CARDS),
        "challenge": r.choice(("succeed", "succeed", "succeed", "fail")),
        "tab": r.choice((-1, -1, -1, -2, 0)),
        "code": r.choice(("", "", "", "AUTUMN")),
        "returns": r.random() < 0.7,
    }


def _one(r: random.Random, user: int) -> list[Step]:
    """One thing that happens; sometimes two that belong together."""
    kind = r.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    who = {"user": user}
    match kind:
        case "buy":
            quote = r.choice((None, 0, 0, 30, 590, 700))
            choice = {"plan": r.choice(PLANS), "months": r.choice(MONTHS)}
            return [("buy", who | choice | {"quote": quote, "again": _again(r)})]
        case "checkout":
            return _first_purchase(r, user)[:2]
        case "pay":
            return [_pay(r, user)]
        case "cancel":
            return [("cancel", who | {"immediately": r.random() < 0.3, "again": _again(r)})]
        case "resume":
            return [("resume", who | {"again": _again(r)})]
        case "card":
            return [("card", who | {"card": r.choice((GOOD, GOOD, FAILS_LATER, FAILS_LATER, ASKS_ALWAYS, DISPUTES))})]
        case "pay_bill":
            return [
                (
                    "pay_bill",
                    who
                    | {
                        "card": r.choice((None, None, GOOD, FAILS_LATER, ASKS_ONCE)),
                        "challenge": r.choice(("succeed", "succeed", "fail")),
                        "newest": r.random() < 0.7,
                    },
                )
            ]
        case "portal":
            return [("portal", who | {"what": r.choice(("cancel", "cancel", "keep", "card"))})]
        case "refund":
            return [("refund", who | {"half": r.random() < 0.5})]
        case "sell_by_hand":
            return [("sell_by_hand", who | {"plan": r.choice(PLANS)})]
        case "dispute_ends":
            return [("dispute_ends", who | {"won": r.random() < 0.5})]
        case "come_back":
            return [("come_back", who | {"tab": r.choice((-1, 0))})]
        case "look" | "reconcile":
            return [(kind, who)]
        case "wait":
            return [("wait", {"seconds": r.choice((1, 60, 600, 3600, 2 * 3600, DAY, 3 * DAY, 8 * DAY, 15 * DAY))})]
        case "wait_for_the_period_end":
            seconds = r.choice((-1, 0, 1, 1800, 2 * 3600, 2 * 3600, DAY, 4 * DAY, 8 * DAY, 20 * DAY))
            return [("wait_for_the_period_end", who | {"seconds": seconds})]
        case "deliver":
            return [("deliver", {})]
        case "chaos":
            return [_chaos(r)]
        case "calm":
            return [("chaos", {"seed": 0})]
        case "kill":
            return [("kill", {"calls": r.randrange(1, 9), "moment": r.choice(("before", "after"))})]
    raise AssertionError(kind)


_WEIGHTS = {
    "buy": 22,
    "checkout": 5,
    "pay": 4,
    "cancel": 7,
    "resume": 4,
    "card": 7,
    "pay_bill": 5,
    "portal": 4,
    "refund": 2,
    "sell_by_hand": 2,
    "dispute_ends": 2,
    "come_back": 2,
    "look": 1,
    "reconcile": 3,
    "wait": 6,
    "wait_for_the_period_end": 12,
    "deliver": 8,
    "chaos": 3,
    "calm": 2,
    "kill": 4,
}
