"""Function chaining: activities one after the other, each result kept for good.

Should the process die between two activities, the orchestration goes on where it was: activities
that were done are not done again, their results come from the history.

Usage: python examples/function_chaining.py [ADDRESS]
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from durabletask.client import TaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, Task
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address


def hello(ctx: ActivityContext, city: str) -> str:
    """Greet a city. An activity may do anything: call a service, write to a database."""
    return f"Hello {city}!"


def greet_cities(ctx: OrchestrationContext, cities: list[str]) -> Generator[Task[Any], Any, Any]:
    """Greet one city after the other.

    An orchestrator only decides what is done, and has to decide alike when it is replayed.
    """
    greetings = []
    for city in cities:
        greetings.append((yield ctx.call_activity(hello, input=city)))
    return greetings


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(greet_cities)
        worker.add_activity(hello)
        worker.start()

        instance_id = client.schedule_new_orchestration(
            greet_cities, input=["Tokyo", "Seattle", "London"]
        )
        state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        state.raise_if_failed()
        print(state.serialized_output)


if __name__ == "__main__":
    main()
