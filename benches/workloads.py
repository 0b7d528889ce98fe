"""The workloads: for each, the history of its orchestrator's last turn, and what must come out of replaying it.

A step is one call, timer, event or sub-orchestration with its result. In every history the orchestrator completes in
the turn that is new, so that the whole way is gone and the response is small.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from histories import MILLISECOND, Dialect, History

WINDOW = 32
"""As in `orchestrators.py`, which can be imported only where one of the packages is."""
COMPLETIONS_PER_TURN = 10
"""How many results of a fan-out arrive together."""


@dataclass(frozen=True)
class Workload:
    """What is replayed, and by whom."""

    name: str
    step: str
    """What one step is, for the tables."""
    add_events: Callable[[History, int], None]
    """Tells the story up to the turn that is new."""
    result: Callable[[int], Any]
    """What the orchestrator returns."""
    peers: str | None = None
    """The workload that the other packages and the bare generator replay in place of this one."""
    found: Callable[[bytes], Any] | None = None
    """What is in a response, to be compared with `result`; None: the result of the completed orchestration."""
    without: tuple[str, ...] = ()
    """Contestants that it means nothing for."""
    orchestrator: str | None = None
    """Its name in `orchestrators.py`, where that is another."""
    options: tuple[str, ...] = ()
    """What this project is set up with: "cache", "converter"."""
    limit: int = 100_000
    """The longest history that is worth the wait."""
    peer_limit: int = 10_000
    """The same on the other packages."""

    def request(self, dialect: Dialect, steps: int) -> bytes:
        """Serialize an OrchestratorRequest with a history of so many steps."""
        history = History(dialect, self.orchestrator or self.name, steps)
        self.add_events(history, steps)
        return history.encode()


def order(number: int) -> dict[str, Any]:
    """A JSON object of 1 KiB, give or take a few digits."""
    lines = [
        {
            "sku": f"SKU-{number:06d}-{line:02d}",
            "title": "Stainless steel bottle with a bamboo lid, 750 ml, matt black, dishwasher-safe",
            "price": 19.95,
            "quantity": line + 1,
            "gift": line % 2 == 0,
        }
        for line in range(4)
    ]
    return {
        "id": f"order-{number:06d}",
        "customer": {"name": "Ada Lovelace", "email": "ada@example.com", "vip": True},
        "address": "12 St James's Square, London SW1Y 4JH, United Kingdom",
        "comment": "Please leave the parcel with the neighbours at number 14 if nobody opens the door.",
        "placed_at": "2026-11-22T15:14:06.816478+00:00",
        "quantity": number % 10,
        "refund": None,
        "lines": lines,
    }


def order_of_completion(steps: int, window: int) -> Iterator[tuple[int, bool]]:
    """Which of the calls in flight completes next, and whether another call starts then.

    Neither the first nor at random, but the same for everybody.
    """
    pending = list(range(min(steps, window)))
    started, turn = len(pending), 0
    while pending:
        turn += 1
        starts = started < steps
        yield pending.pop(turn * 7 % len(pending)), starts
        if starts:
            pending.append(started)
            started += 1


def _greeting(number: int) -> str:
    return f"Hello customer {number}!"


def _orders(history: History, steps: int) -> None:
    for number in range(steps):
        passed = {
            "number": number,
            "customer": "Ada Lovelace",
            "sku": "SKU-0815",
            "price": 19.95,
            "express": True,
            "__durabletask_autoobject__": True,
        }
        action = history.call(passed)
        history.turn().completed(action, _greeting(number))


def _failing_siblings(history: History, steps: int) -> None:
    actions = [history.call(number) for number in range(steps)]
    for number, action in enumerate(actions):
        if number % COMPLETIONS_PER_TURN == 0:
            history.turn()
        history.failed(action)
    history.turn().raised("go", None)


def actions_in(response: bytes) -> int:
    """How many actions a response asks for."""
    from support import wire

    return len(wire.fields(response).get(2, []))


def _chain(history: History, steps: int) -> None:
    for number in range(steps):
        action = history.call(number)
        history.turn().completed(action, _greeting(number))


def _fan_out(history: History, steps: int) -> None:
    actions = [history.call(number) for number in range(steps)]
    for number, action in enumerate(actions):
        if number % COMPLETIONS_PER_TURN == 0:
            history.turn()
        history.completed(action, number)


def _retries(history: History, steps: int) -> None:
    for number in range(steps):
        first = history.call(number)
        history.turn().failed(first)
        timer = history.timer(50 * MILLISECOND)
        history.turn().fired(timer)
        second = history.call(number, again=first)
        history.turn().completed(second, _greeting(number), first_attempt=first)


def _timers_and_events(history: History, steps: int) -> None:
    for number in range(steps):
        if number % 2:
            history.turn().raised("progress", number)
        else:
            timer = history.timer(250 * MILLISECOND)
            history.turn().fired(timer)


def _sub_orchestrations(history: History, steps: int) -> None:
    for number in range(steps):
        action = history.sub_orchestration("chain", number)
        history.turn().sub_completed(action, number)


def _json_1k(history: History, steps: int) -> None:
    for number in range(steps):
        action = history.call(number)
        history.turn().completed(action, order(number))


def _window(history: History, steps: int, window: int) -> None:
    actions = [history.call(number) for number in range(min(steps, window))]
    for number, starts in order_of_completion(steps, window):
        history.turn().completed(actions[number], number)
        if starts:
            actions.append(history.call(len(actions)))


def _sum(steps: int) -> int:
    return sum(range(steps))


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload(
            "chain",
            "a call",
            _chain,
            lambda steps: _greeting(steps - 1),
            peer_limit=100_000,
        ),
        Workload(
            "chain_with_cache",
            "a call, replayed by what keeps live orchestrators",
            _chain,
            lambda steps: _greeting(steps - 1),
            peers="chain",
            orchestrator="chain",
            options=("cache",),
        ),
        Workload(
            "dataclass_inputs",
            "a call with a dataclass of five fields as its input",
            _orders,
            lambda steps: _greeting(steps - 1),
        ),
        Workload(
            "model_inputs",
            "a call with a pydantic model of five fields; the others pass a dataclass",
            _orders,
            lambda steps: _greeting(steps - 1),
            peers="dataclass_inputs",
        ),
        Workload(
            "converted_inputs",
            "a call with a dataclass, written and read by a payload converter; the others use none",
            _orders,
            lambda steps: _greeting(steps - 1),
            peers="dataclass_inputs",
            orchestrator="dataclass_inputs",
            options=("converter",),
        ),
        Workload(
            "emission",
            "a call that the first turn asks for",
            lambda history, steps: None,
            lambda steps: steps,
            found=actions_in,
            without=("generator",),
            limit=10_000,
        ),
        Workload(
            "failing_siblings",
            "a call that fails, waited for by one when_all; then an event",
            _failing_siblings,
            lambda steps: 1,
            # The others can not: with the second failure, theirs is completed already.
            without=("generator", "dapr", "microsoft"),
        ),
        Workload("fan_out", "a call, waited for by one when_all", _fan_out, _sum),
        Workload(
            "sub_orchestrations",
            "a sub-orchestration",
            _sub_orchestrations,
            _sum,
        ),
        Workload(
            "retries",
            "a call, its failure, a timer and the call again",
            _retries,
            lambda steps: _greeting(steps - 1),
        ),
        Workload(
            "timers_and_events",
            "a timer or an external event, in turns",
            _timers_and_events,
            lambda steps: sum(range(1, steps, 2)),
        ),
        Workload(
            "json_1k",
            "a call with 1 KiB of JSON as its result",
            _json_1k,
            lambda steps: sum(number % 10 for number in range(steps)),
        ),
        Workload(
            "sliding",
            f"a call, waited for by a when_any over {WINDOW}",
            lambda history, steps: _window(history, steps, WINDOW),
            _sum,
        ),
        Workload(
            "when_any_all",
            "a call, waited for by a when_any over all that are left",
            lambda history, steps: _window(history, steps, steps),
            _sum,
            # The orchestrator itself is quadratic: each step makes a list of all that are left, and searches it.
            limit=10_000,
            peer_limit=1_000,
        ),
        Workload(
            "coroutine_chain",
            "a call, awaited",
            _chain,
            lambda steps: _greeting(steps - 1),
            peers="chain",
        ),
    )
}
