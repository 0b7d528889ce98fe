"""Fan-out/fan-in: many activities at once, then one result of all of them.

Usage: python examples/fan_out_fan_in.py [ADDRESS]
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from durabletask.client import TaskHubGrpcClient
from durabletask.task import ActivityContext, OrchestrationContext, Task, when_all
from durabletask.worker import TaskHubGrpcWorker

from _sidecar import sidecar_address

LIBRARY = {
    "fox": "the quick brown fox jumps over the lazy dog",
    "lorem": "lorem ipsum dolor sit amet",
    "rain": "the rain in Spain stays mainly in the plain",
}


def list_books(ctx: ActivityContext, _: None) -> list[str]:
    return sorted(LIBRARY)


def count_words(ctx: ActivityContext, title: str) -> int:
    return len(LIBRARY[title].split())


def count_library(ctx: OrchestrationContext, _: None) -> Generator[Task[Any], Any, Any]:
    """Count the words of all books in parallel, on as many workers as there are."""
    titles = yield ctx.call_activity(list_books)

    # Nothing is yielded while the calls are made: all are scheduled before any is waited for.
    counts = yield when_all([ctx.call_activity(count_words, input=title) for title in titles])
    return {"books": dict(zip(titles, counts, strict=True)), "words": sum(counts)}


def main() -> None:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        worker.add_orchestrator(count_library)
        worker.add_activity(list_books)
        worker.add_activity(count_words)
        worker.start()

        instance_id = client.schedule_new_orchestration(count_library)
        state = client.wait_for_orchestration_completion(instance_id, timeout=30)
        assert state is not None
        state.raise_if_failed()
        print(state.serialized_output)


if __name__ == "__main__":
    main()
