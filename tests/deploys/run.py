"""Deploys under load: two workers rolled over to new code, and a bad deploy that a good one follows.

    python -m deploys.run [--instances N] [--address HOST:PORT]

Each worker is a process of its own, as it is where programs are deployed. What happened to the instances is counted and
printed; the exit code is 0 if not one of them failed.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from durabletask.client import OrchestrationStatus, TaskHubGrpcClient
from durabletask.sidecar import Sidecar

SOON = 60.0
_WORKER = Path(__file__).with_name("worker.py")


@dataclass
class Outcome:
    """What became of the instances of a scenario."""

    scenario: str
    instances: int
    seconds: float
    statuses: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    stalled: int = 0

    @property
    def good(self) -> bool:
        return self.statuses == {"COMPLETED": self.instances}

    def __str__(self) -> str:
        statuses = ", ".join(f"{count} {status}" for status, count in self.statuses.items())
        results = ", ".join(f"{count} x {result}" for result, count in sorted(self.results.items()))
        stalled = f"; {self.stalled} had stalled" if self.stalled else ""
        failed = self.statuses["FAILED"]
        return (
            f"{self.scenario}: {self.instances} instances in {self.seconds:.1f} s: {failed} failed; "
            f"{statuses}{stalled}; results {results}"
        )


class Worker:
    """A worker process with one release of the code."""

    def __init__(self, address: str, release: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(_WORKER), address, release],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line == "ready\n", f"the worker of release {release} says {line!r}"

    def stop(self) -> None:
        """As a deploy does it: what runs may end."""
        self._process.terminate()
        try:
            code = self._process.wait(SOON)
        finally:
            self.kill()
        assert code == 0, f"a worker ended with {code}"

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@contextlib.contextmanager
def _workers() -> Iterator[list[Worker]]:
    workers: list[Worker] = []
    try:
        yield workers
    finally:
        for worker in workers:
            worker.kill()


def _schedule(client: TaskHubGrpcClient, name: str, count: int, scheduled: list[str]) -> None:
    for number in range(count):
        scheduled.append(client.schedule_new_orchestration(name, input=number))


def _outcome(client: TaskHubGrpcClient, scenario: str, ids: list[str], began: float) -> Outcome:
    outcome = Outcome(scenario, len(ids), 0.0)
    deadline = time.monotonic() + SOON
    for instance_id in ids:
        try:
            state = client.wait_for_orchestration_completion(
                instance_id, timeout=max(deadline - time.monotonic(), 0.1)
            )
        except TimeoutError:
            state = client.get_orchestration_state(instance_id)
        assert state is not None
        outcome.statuses[str(state.runtime_status)] += 1
        outcome.results[str(state.serialized_output)] += 1
    outcome.seconds = time.monotonic() - began
    return outcome


def rolling_upgrade(address: str, instances: int) -> Outcome:
    """Two workers, one after the other replaced by the next release, whose orchestrator asks `is_patched`."""
    began = time.monotonic()
    ids: list[str] = []
    with TaskHubGrpcClient(host_address=address) as client, _workers() as workers:
        workers += [Worker(address, "first"), Worker(address, "first")]
        _schedule(client, "order", instances // 4, ids)
        for old in (0, 1):
            workers.append(Worker(address, "second"))
            _schedule(client, "order", instances // 4, ids)
            workers[old].stop()
        _schedule(client, "order", instances - len(ids), ids)
        outcome = _outcome(client, "rolling upgrade of two workers", ids, began)
        for worker in workers[2:]:
            worker.stop()
    return outcome


def bad_deploy(address: str, instances: int) -> Outcome:
    """A release that changes running instances without asking, then the one that puts it right."""
    began = time.monotonic()
    ids: list[str] = []
    with TaskHubGrpcClient(host_address=address) as client, _workers() as workers:
        workers.append(Worker(address, "first"))
        _schedule(client, "order", instances, ids)
        _wait_for_reservations(client, ids)
        workers[0].stop()
        workers.append(Worker(address, "bad"))
        stalled = _wait_for_stalls(client, ids)
        workers[1].stop()
        workers.append(Worker(address, "second"))
        outcome = _outcome(client, "a bad deploy, then a good one", ids, began)
        outcome.stalled = stalled
        workers[2].stop()
    return outcome


def _wait_for_reservations(client: TaskHubGrpcClient, ids: list[str]) -> None:
    """Until some instances are in the middle."""
    deadline = time.monotonic() + SOON
    while True:
        states = [client.get_orchestration_state(each) for each in ids[: len(ids) // 4]]
        if all(state is not None and state.serialized_custom_status for state in states):
            return
        assert time.monotonic() < deadline, "the instances do not come to their middle"
        time.sleep(0.05)


def _wait_for_stalls(client: TaskHubGrpcClient, ids: list[str]) -> int:
    """Until every instance has ended or stalled; how many have stalled."""
    deadline = time.monotonic() + SOON
    while True:
        statuses = Counter(
            state.runtime_status
            for state in map(client.get_orchestration_state, ids)
            if state is not None
        )
        ended = statuses[OrchestrationStatus.COMPLETED] + statuses[OrchestrationStatus.FAILED]
        stalled = statuses[OrchestrationStatus.STALLED]
        if stalled and ended + stalled == len(ids):
            return stalled
        assert time.monotonic() < deadline, f"instances neither end nor stall: {statuses}"
        time.sleep(0.05)


def main(argv: list[str] | None = None) -> int:
    """Run all scenarios; the exit code."""
    parser = argparse.ArgumentParser(prog="deploys.run", description=__doc__)
    parser.add_argument("--instances", type=int, default=200, help="of each scenario (default 200)")
    parser.add_argument("--address", help="a sidecar that runs; by default an embedded one")
    arguments = parser.parse_args(argv)
    outcomes = []
    with contextlib.ExitStack() as stack:
        address = arguments.address or stack.enter_context(Sidecar()).address
        for scenario in (rolling_upgrade, bad_deploy):
            outcome = scenario(address, arguments.instances)
            print(outcome, flush=True)
            outcomes.append(outcome)
    return 0 if all(outcome.good for outcome in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
