"""A worker that is switched on and off from outside: `python relay.py ADDRESS`, then lines "on" and "off".

It knows nothing of the engine below. Each line is repeated once it has been obeyed.
"""

# mypy: disable-error-code="import-not-found, untyped-decorator, misc"

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Generator
from datetime import timedelta
from typing import Any, NamedTuple

import dapr.ext.workflow as wf

Workflow = Generator[Any, Any, Any]

host, port = sys.argv[1].rsplit(":", 1)


class Point(NamedTuple):
    x: int
    y: int


@dataclasses.dataclass
class Order:
    number: int
    places: list[Point]


def runtime() -> Any:
    """A runtime with functions of its own: the SDK registers each function once."""
    made = wf.WorkflowRuntime(host=host, port=port)
    failed: set[str] = set()

    @made.activity
    def moved(_: wf.WorkflowActivityContext, places: list[Any]) -> list[Point]:
        return [Point(x + 1, y) for x, y in places]

    @made.activity
    async def counted(_: wf.WorkflowActivityContext, order: Any) -> int:
        await asyncio.sleep(0)
        return int(order.number + len(order.places))

    @made.activity
    def flaky(ctx: wf.WorkflowActivityContext) -> str:
        if ctx.workflow_id not in failed:  # once in each process
            failed.add(ctx.workflow_id)
            raise ConnectionError("the first time")
        return "done"

    @made.workflow
    def child(ctx: wf.DaprWorkflowContext, number: int) -> Workflow:
        yield ctx.create_timer(timedelta(milliseconds=1))
        return {"doubled": number * 2}

    @made.workflow
    def relay(ctx: wf.DaprWorkflowContext, legs: int) -> Workflow:
        """One leg after each event; whoever is switched on then has to go on from what others have done."""
        retry = wf.RetryPolicy(
            first_retry_interval=timedelta(milliseconds=1), max_number_of_attempts=3
        )
        places, seen = [Point(0, 0), Point(5, 5)], []
        for leg in range(legs):
            ctx.set_custom_status(f"before {leg}")
            event = yield ctx.wait_for_external_event("go")
            calls = [
                ctx.call_activity(moved, input=places),
                ctx.call_activity(counted, input=Order(leg, places)),
                ctx.call_child_workflow(child, input=leg),
                ctx.call_activity(flaky, retry_policy=retry),
            ]
            places, count, doubled, flaked = yield wf.when_all(calls)
            late = ctx.wait_for_external_event("never")
            timer = ctx.create_timer(timedelta(milliseconds=1))
            winner = yield wf.when_any([late, timer])
            patched = ctx.is_patched("a-patch")
            seen.append([event, count, doubled["doubled"], flaked, winner is timer, patched])
        return [places, seen, str(ctx.current_utc_datetime.tzinfo)]

    return made


def main() -> None:
    running: Any = None
    for line in sys.stdin:
        if line.strip() == "on":
            running = runtime()
            running.start()
        else:
            running.shutdown()
        print(line.strip(), flush=True)


if __name__ == "__main__":
    main()
