"""A worker of one release: `worker.py ADDRESS RELEASE`."""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from durabletask.task import ActivityContext, OrchestrationContext
from durabletask.worker import TaskHubGrpcWorker


def reserve(ctx: ActivityContext, order: int) -> int:
    time.sleep(0.05)
    return order


def check(ctx: ActivityContext, order: int) -> bool:
    """New in the second release."""
    return True


def charge(ctx: ActivityContext, order: int) -> str:
    time.sleep(0.05)
    return "charged"


def first(ctx: OrchestrationContext, order: int) -> Any:
    yield ctx.call_activity(reserve, input=order)
    ctx.set_custom_status("reserved")
    return (yield ctx.call_activity(charge, input=order))


def second(ctx: OrchestrationContext, order: int) -> Any:
    yield ctx.call_activity(reserve, input=order)
    ctx.set_custom_status("reserved")
    checked = ""
    if ctx.is_patched("check"):
        yield ctx.call_activity(check, input=order)
        checked = "checked and "
    charged = yield ctx.call_activity(charge, input=order)
    return f"{checked}{charged}"


def bad(ctx: OrchestrationContext, order: int) -> Any:
    """The check without asking: it does not fit what has begun before."""
    yield ctx.call_activity(check, input=order)
    yield ctx.call_activity(reserve, input=order)
    return (yield ctx.call_activity(charge, input=order))


RELEASES = {"first": first, "second": second, "bad": bad}


def main(address: str, release: str) -> int:
    worker = TaskHubGrpcWorker(host_address=address, on_mismatch="stall")
    worker.add_orchestrator(RELEASES[release], name="order")
    worker.add_activity(reserve)
    worker.add_activity(charge)
    if release != "first":
        worker.add_activity(check)

    def say_ready() -> None:
        while not worker.is_worker_ready():
            time.sleep(0.01)
        print("ready", flush=True)  # noqa: T201

    threading.Thread(target=say_ready, daemon=True).start()
    return worker.run()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
