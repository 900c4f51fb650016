"""Many requests of one customer at the same moment, against a live server: what each was answered, what came of it.

    python -m benchmarks.parallel          50 at once
    DATABASE_URL=postgres://... python -m benchmarks.parallel 50

Exit code 1 when anything was opened, sold or charged twice. The same as tests: billing/tests/test_real_processes.py.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=50)
    count = parser.parse_args().count
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")
    from billing.tests.live_house import LiveHouse, at_once

    broken = 0
    with LiveHouse(people=4) as house:
        one, two, three, four = house.people
        for person in (two, three, four):
            person.has_a_card()
        three.choose("purchase/plan", "pro")
        quote = three.choose("purchase/preview", "team")[1]["quote"]
        four.choose("purchase/plan", "pro")

        def run(what: str, calls: list[Callable[[], Any]], outcome: Callable[[], str], wanted: str) -> None:
            nonlocal broken
            began = time.perf_counter()
            answers = at_once(calls)
            seconds, came = time.perf_counter() - began, outcome()
            told = ", ".join(
                f"{number} x {status} {code}".rstrip() for (status, code), number in Counter(answers).items()
            )
            print(f"{what}: {len(calls)} at once in {seconds:.1f} s: {told}; {came}")
            if came != wanted or any(status not in (200, 409) for status, _ in answers):
                broken += 1
                print(f"  BROKEN: wanted {wanted}")

        tabs = [lambda plan=plan: one.choose("create-checkout-session", plan) for plan in ("pro", "team")]
        run(
            "Buy, double click and two tabs",
            (tabs * count)[:count],
            lambda: f"{one.open_sessions()} open session",
            "1 open session",
        )
        run(
            "A purchase with the card on file",
            [lambda: two.choose("purchase/plan", "pro")] * count,
            lambda: f"{len(two.live_subscriptions())} subscription, {len(two.charged())} charge",
            "1 subscription, 1 charge",
        )
        run(
            "An upgrade with one quote",
            [lambda: three.choose("purchase/plan", "team", quote=quote)] * count,
            lambda: f"{len(three.live_subscriptions())} subscription, {len(three.charged())} charges",
            "1 subscription, 2 charges",
        )
        both = [lambda: four.post("user/cancel_plan"), lambda: four.post("user/resume_plan")]
        run(
            "Cancel and resume",
            (both * count)[:count],
            lambda: f"{len(four.live_subscriptions())} subscription, our row true: {four.our_row_is_true()}",
            "1 subscription, our row true: True",
        )
    print("nothing was opened, sold or charged twice" if not broken else f"{broken} BROKEN")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
