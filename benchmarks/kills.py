"""`kill -9` of the web process at random moments of purchases, a restart, and the button pressed blindly again.

    python -m benchmarks.kills 100
    python -m benchmarks.kills 20 --seed 7

Exit code 1 when anything was lost or done twice.
"""

import argparse
import os
import random
import sys
import time
from collections import Counter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "datilio.settings")
    from billing.tests.live_house import KILLS, LiveHouse, die_in

    r, broken, killed = random.Random(given.seed), 0, Counter[str]()
    with LiveHouse(people=given.count + 3) as house:
        # How long a purchase takes here when nobody is killed.
        began = time.perf_counter()
        for person in house.people[-3:]:
            person.has_a_card()
            person.choose("purchase/plan", "pro")
        typical = (time.perf_counter() - began) / 3
        began = time.perf_counter()
        for number in range(given.count):
            kind = KILLS[number % len(KILLS)]
            found = die_in(kind, house, house.people[number], r, typical)
            killed[kind] += 1
            if (number + 1) % 10 == 0:
                print(f"{number + 1} of {given.count}, {broken + bool(found)} broken", flush=True)
            if found:
                broken += 1
                print(f"BROKEN {number} ({kind}): {found}", flush=True)
        seconds = time.perf_counter() - began
    told = ", ".join(f"{number} in {kind}" for kind, number in killed.items())
    print(f"{given.count} kills in {seconds:.0f} s ({told}); a purchase takes {typical * 1000:.0f} ms; {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
