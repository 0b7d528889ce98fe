"""What carrying work to a worker costs: this project's two transports and durabletask-dapr 0.17.4, in turn.

Each round runs every load on each worker, a process of its own on a sidecar of its own that has nothing in it, before
the next round begins, so that a machine that is busy for a while is so for all. Of the rounds the median counts. The
client is this project's for all of them, and activities do nothing, or sleep.

- Chains: so many orchestrations of ten activities in sequence, one or more at a time. A chain of ten is 21 work items:
  eleven turns and ten activities. Measured are the processor time of the worker for each of them, its voluntary context
  switches, orchestrations a second, and how long one takes from the client's call to its knowledge of the end.
- Naps: one orchestration of 1,000 `async def` activities at once that sleep 50 ms each; how long it takes.
- A nap behind 250 activities that keep a thread for a second each; how long the nap's orchestration takes.

0.17.4 knows no `async def` activities, and has no part in the naps.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from durabletask.aio.client import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationStatus

import orchestrators
from fleet import SidecarChoice, WorkerProcess, worker
from peers import HERE, BenchError, our_python, peer_python

RESULTS = HERE / "results"
LENGTH = 10
ITEMS = 2 * LENGTH + 1
NAPS = 1_000
DOZES = 250
WARM_UP = 20

Measured = dict[str, float]


@dataclass(frozen=True)
class Contestant:
    """Attributes: kind: whose package. variables: what its environment has more."""

    name: str
    kind: str
    variables: dict[str, str]


CONTESTANTS = (
    Contestant("native", "ours", {"DURABLETASK_TRANSPORT": "native"}),
    Contestant("grpcio", "ours", {"DURABLETASK_TRANSPORT": "grpcio"}),
    Contestant("0.17.4", "dapr", {}),
)


async def ended(client: AsyncTaskHubGrpcClient, orchestrator: Any, number: int) -> float:
    """Run an orchestration, and return the seconds that it took."""
    began = time.perf_counter()
    instance = await client.schedule_new_orchestration(orchestrator, input=number)
    state = await client.wait_for_orchestration_completion(instance, timeout=120)
    if state is None or state.runtime_status is not OrchestrationStatus.COMPLETED:
        raise BenchError(f"{orchestrator.__name__} was to complete, found: {state}")
    return time.perf_counter() - began


def chains(instances: int, at_once: int) -> Callable[..., Awaitable[Measured]]:
    """Chains, and what each work item of them cost."""

    async def run(client: AsyncTaskHubGrpcClient, process: WorkerProcess) -> Measured:
        places = asyncio.Semaphore(at_once)

        async def in_a_place() -> float:
            async with places:
                return await ended(client, orchestrators.chain, LENGTH)

        await asyncio.gather(*(in_a_place() for _ in range(WARM_UP)))
        before, began = process.usage(), time.perf_counter()
        took = await asyncio.gather(*(in_a_place() for _ in range(instances)))
        wall, after = time.perf_counter() - began, process.usage()
        items = instances * ITEMS
        spent = {name: after[name] - before[name] for name in ("user_s", "system_s", "switches")}
        return {
            "cpu_us_per_item": (spent["user_s"] + spent["system_s"]) / items * 1e6,
            "user_us_per_item": spent["user_s"] / items * 1e6,
            "system_us_per_item": spent["system_s"] / items * 1e6,
            "switches_per_item": spent["switches"] / items,
            "orchestrations_per_s": instances / wall,
            "p50_ms": statistics.median(took) * 1e3,
        }

    return run


async def naps(client: AsyncTaskHubGrpcClient, _: WorkerProcess) -> Measured:
    """A thousand activities that need no thread."""
    await ended(client, orchestrators.chain, LENGTH)
    await ended(client, orchestrators.naps, NAPS)
    return {"seconds": await ended(client, orchestrators.naps, NAPS)}


async def nap_behind_dozes(client: AsyncTaskHubGrpcClient, _: WorkerProcess) -> Measured:
    """One that needs no thread, behind many that do."""
    await ended(client, orchestrators.chain, LENGTH)
    await client.schedule_new_orchestration(orchestrators.dozes, input=DOZES)
    await asyncio.sleep(0.5)
    return {"seconds": await ended(client, orchestrators.naps, 1)}


def loads(instances: int) -> dict[str, Callable[..., Awaitable[Measured]]]:
    """All of them, by name."""
    return {
        "chains of 10, 1 at once": chains(max(instances // 4, 2), 1),
        "chains of 10, 50 at once": chains(instances, 50),
        f"{NAPS:,} naps": naps,
        f"a nap behind {DOZES} dozes": nap_behind_dozes,
    }


ASYNC = (naps, nap_behind_dozes)


async def _driven(address: str, load: Any, process: WorkerProcess) -> Measured:
    async with AsyncTaskHubGrpcClient(host_address=address) as client:
        measured: Measured = await load(client, process)
        return measured


def measure(choice: SidecarChoice, pythons: dict[str, Path], rounds: int, instances: int) -> Any:
    """All loads on all workers, round by round; the medians."""
    found: dict[str, dict[str, list[Measured]]] = {}
    for number in range(rounds):
        for name, load in loads(instances).items():
            for one in CONTESTANTS:
                if one.kind not in pythons or (one.kind == "dapr" and load in ASYNC):
                    continue
                print(f"  round {number + 1} of {rounds}: {name}, {one.name}", file=sys.stderr)
                with choice.start() as sidecar:
                    address = sidecar.address
                    with worker(one.kind, pythons[one.kind], address, one.variables) as process:
                        taken = asyncio.run(_driven(address, load, process))
                found.setdefault(name, {}).setdefault(one.name, []).append(taken)
    return {
        name: {
            contestant: {
                measure: round(statistics.median(each[measure] for each in taken), 4)
                for measure in taken[0]
            }
            for contestant, taken in by_contestant.items()
        }
        for name, by_contestant in found.items()
    }


def table(found: dict[str, Any]) -> str:
    """The results for people, in Markdown."""
    names = [one.name for one in CONTESTANTS]
    lines = [
        f"| load | measure | {' | '.join(names)} | native to 0.17.4 |",
        "| --- " * (len(names) + 3) + "|",
    ]
    for load, by_contestant in found["loads"].items():
        for measure in next(iter(by_contestant.values())):
            values = [by_contestant.get(name, {}).get(measure) for name in names]
            cells = ["" if value is None else f"{value:,.2f}" for value in values]
            first, last = values[0], values[-1]
            ratio = f"{first / last:.3f}" if first is not None and last else ""
            lines.append(f"| {load} | {measure} | {' | '.join(cells)} | {ratio} |")
    return "\n".join(lines)


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--rounds", type=int, default=3, help="how often everything is measured (3)")
    add("--instances", type=int, default=200, help="chains of a round, 50 at once (200)")
    add("--sidecar-command", metavar="COMMAND", help="start another sidecar, on {port}")
    add("--address", metavar="HOST:PORT", help="take a sidecar that is running")
    add("--python", type=Path, help="interpreter that has this project")
    add("--reference-python", type=Path, help="interpreter that has durabletask-dapr")
    add("--no-reference", action="store_true", help="without durabletask-dapr")
    add("--write", action="store_true", help="write benches/results/worker.json and .md")
    return parser


def main() -> None:
    """Measure, print, and write if that is wanted."""
    arguments = options().parse_args()
    try:
        pythons = {"ours": arguments.python or our_python()}
        if not arguments.no_reference:
            pythons["dapr"] = arguments.reference_python or peer_python("dapr", pythons["ours"])
        choice = SidecarChoice(pythons["ours"], False, arguments.sidecar_command, arguments.address)
        medians = measure(choice, pythons, arguments.rounds, arguments.instances)
    except BenchError as error:
        sys.exit(f"benches/worker.py: {error}")
    found = {"sidecar": choice.name, "rounds": arguments.rounds, "loads": medians}
    print(table(found))
    if arguments.write:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "worker.json").write_text(json.dumps(found, indent=1) + "\n")
        heading = f"Medians of {arguments.rounds} rounds. Sidecar: {choice.name}.\n\n"
        (RESULTS / "worker.md").write_text(heading + table(found) + "\n")


if __name__ == "__main__":
    main()
