"""Live a history, heal, check; make one that fails as short as it can be."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from billing.tests.histories.checks import check
from billing.tests.histories.steps import History, Step
from billing.tests.histories.world import BrokenPromise, World


def live(world: World, history: History) -> None:
    """Everything that happens, then the healing and the checks. Raises BrokenPromise. The caller rolls back."""
    world.begin(history.start, history.seed)
    for name, arguments in history.steps:
        getattr(world, f"do_{name}")(**arguments)
    world.heal()
    check(world)


@dataclass
class Failure:
    history: History
    why: str

    def __str__(self) -> str:
        return f"{self.why}\n{self.history}"


def shortest(history: History, fails: Callable[[History], str | None], most_tries: int = 400) -> Failure:
    """Leave out steps while the history still fails, by any promise. fails: why, or None; it rolls back itself."""
    why = fails(history)
    assert why is not None, "this history keeps every promise"
    tries, size = 0, max(1, len(history.steps) // 2)
    while tries < most_tries:
        position, shortened = 0, False
        while position < len(history.steps) and tries < most_tries:
            steps: list[Step] = history.steps[:position] + history.steps[position + size :]
            shorter = replace(history, steps=steps)
            tries += 1
            reason = fails(shorter)
            if reason is not None:
                history, why, shortened = shorter, reason, True
            else:
                position += size
        if not shortened and size == 1:
            break
        size = max(1, size // 2)
    return Failure(history, why)


def why_it_fails(world: World, history: History) -> str | None:
    try:
        live(world, history)
    except BrokenPromise as broken:
        return str(broken)
    return None
