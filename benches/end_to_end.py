"""Orchestrations from end to end: a client, a sidecar, and workers of this project and of durabletask-dapr 0.17.4.

Two things are measured. A chain is one orchestration of so many activities in sequence, where each activity ends a
turn: what a turn costs, in time and in processor time. Many small orchestrations at once are throughput. The
orchestrator and the activity are the same source for all workers (`orchestrators.chain`), the client is this project's
for all of them, and the activity does nothing, so that what is left is the cost of the machinery.

Workers have their turns one after the other, each in a process of its own and, unless `--address` names a sidecar that
is running, on a sidecar of its own with nothing in it. A short chain warms both up before anything is measured. Of
several rounds the least counts, for each number by itself.

- `wall_s`: from before the client schedules to after it has heard of the completion.
- `worker_cpu_s`: processor time of the worker's process in that time, user and system.
- `replay_cpu_s`: what of it went into replay, by the clocks of the threads that did it. The accounts favour the
  reference: of ours everything counts from the bytes of a work item to those of its response; of the reference only
  `execute` of its orchestration executor, without decoding and encoding.
- `sidecar_cpu_s`: processor time of the sidecar's process, where the bench has started it and the system tells.

On the embedded sidecar the chain also grows to `--longest` steps with this project's worker, which tells whether a step
costs the same however long the history is.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from durabletask.aio.client import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationStatus

import orchestrators
from fleet import SidecarChoice, worker
from peers import BenchError, our_python, peer_python

WARM_UP_STEPS = 20
NAMES = {"ours": "ours", "dapr": "reference"}
"""What the contestants are called in results."""
MEASURES = ("wall_s", "worker_cpu_s", "replay_cpu_s", "sidecar_cpu_s")

Load = Callable[[AsyncTaskHubGrpcClient], Awaitable[None]]


def chain(steps: int, timeout: float) -> Load:
    """One orchestration of so many activities in sequence."""

    async def run(client: AsyncTaskHubGrpcClient) -> None:
        instance = await client.schedule_new_orchestration(orchestrators.chain, input=steps)
        state = await client.wait_for_orchestration_completion(instance, timeout=timeout)
        expected = json.dumps(steps - 1)
        if (
            state is None
            or state.runtime_status is not OrchestrationStatus.COMPLETED
            or state.serialized_output != expected
        ):
            raise BenchError(f"a chain of {steps} was to end with {expected}, found: {state}")

    return run


def many(instances: int, length: int, concurrency: int, timeout: float) -> Load:
    """So many short chains, of which so many run at once."""
    one = chain(length, timeout)

    async def run(client: AsyncTaskHubGrpcClient) -> None:
        places = asyncio.Semaphore(concurrency)

        async def in_a_place() -> None:
            async with places:
                await one(client)

        await asyncio.gather(*(in_a_place() for _ in range(instances)))

    return run


async def _driven(address: str, load: Load) -> float:
    async with AsyncTaskHubGrpcClient(host_address=address) as client:
        start = time.perf_counter()
        await load(client)
        return time.perf_counter() - start


def once(
    choice: SidecarChoice, kind: str, python: Path, load: Load, timeout: float
) -> dict[str, Any]:
    """Run a load on a worker of its own; return what it took."""
    with choice.start() as sidecar, worker(kind, python, sidecar.address) as process:
        try:
            asyncio.run(_driven(sidecar.address, chain(WARM_UP_STEPS, timeout)))
            worker_before, sidecar_before = process.usage(), sidecar.processor_seconds()
            wall = asyncio.run(_driven(sidecar.address, load))
            worker_after, sidecar_after = process.usage(), sidecar.processor_seconds()
        except TimeoutError as error:
            raise BenchError(
                f"the worker of {NAMES[kind]} was not done in {timeout:g} seconds; --timeout gives it more"
            ) from error
    taken = {name: worker_after[name] - worker_before[name] for name in worker_before}
    return {
        "wall_s": wall,
        "worker_cpu_s": taken["cpu_s"],
        "replay_cpu_s": taken["replay_cpu_s"],
        "sidecar_cpu_s": (
            None
            if sidecar_before is None or sidecar_after is None
            else sidecar_after - sidecar_before
        ),
        "turns": taken["turns"],
    }


def best(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The least of each measure."""
    found: dict[str, Any] = {"turns": rounds[-1]["turns"], "rounds": len(rounds)}
    for name in MEASURES:
        measured = [each[name] for each in rounds if each[name] is not None]
        found[name] = round(min(measured), 4) if measured else None
    found["median_wall_s"] = round(statistics.median(each["wall_s"] for each in rounds), 4)
    return found


def compare(
    choice: SidecarChoice, pythons: dict[str, Path], load: Load, rounds: int, timeout: float
) -> dict[str, Any]:
    """Run a load on all workers, in turns."""
    measured: dict[str, list[dict[str, Any]]] = {kind: [] for kind in pythons}
    for number in range(rounds):
        for kind, python in pythons.items():
            taken = once(choice, kind, python, load, timeout)
            print(
                f"  round {number + 1} of {rounds}, {NAMES[kind]}: {taken['wall_s']:.2f} s",
                file=sys.stderr,
                flush=True,
            )
            measured[kind].append(taken)
    found: dict[str, Any] = {NAMES[kind]: best(taken) for kind, taken in measured.items()}
    if "dapr" in measured:
        ours, reference = found["ours"], found["reference"]
        found["ratios"] = {
            name: round(reference[name] / ours[name], 2)
            for name in MEASURES
            if ours[name] and reference[name] is not None
        }
    return found


def measure(arguments: argparse.Namespace, pythons: dict[str, Path]) -> dict[str, Any]:
    """Measure what was asked for, and say it on the way."""
    choice = SidecarChoice(
        pythons["ours"], arguments.on_file, arguments.sidecar_command, arguments.address
    )
    rounds, timeout = arguments.rounds, arguments.timeout
    found: dict[str, Any] = {"sidecar": choice.name}
    say = (lambda _: None) if arguments.json else print

    say(f"Sidecar: {choice.name}")
    if arguments.steps:
        load = chain(arguments.steps, timeout)
        found["chain"] = compare(choice, pythons, load, rounds, timeout)
        found["chain"]["steps"] = arguments.steps
        say(f"\nOne orchestration of {arguments.steps:,} activities in sequence:")
        say(table(found["chain"]))
    if arguments.instances:
        load = many(arguments.instances, arguments.length, arguments.concurrency, timeout)
        result = found["many"] = compare(choice, pythons, load, rounds, timeout)
        result |= {
            "instances": arguments.instances,
            "length": arguments.length,
            "concurrency": arguments.concurrency,
        }
        for kind in pythons:
            taken = result[NAMES[kind]]
            taken["orchestrations_per_s"] = round(arguments.instances / taken["wall_s"], 2)
        say(
            f"\n{arguments.instances:,} orchestrations of {arguments.length:,} activities, "
            f"{arguments.concurrency:,} at once:"
        )
        say(table(result))
    if arguments.longest > arguments.steps > 0 and choice.embedded:
        load = chain(arguments.longest, timeout)
        ours = {"ours": pythons["ours"]}
        longest = compare(choice, ours, load, rounds, timeout)["ours"]
        found["growth"] = growth(
            found["chain"]["ours"], arguments.steps, longest, arguments.longest
        )
        say("\nMilliseconds for each step, ours:")
        say(growth_table(found["growth"]))
    return found


def growth(
    short: dict[str, Any], short_steps: int, long: dict[str, Any], long_steps: int
) -> dict[str, Any]:
    """What a step takes in a short and in a long chain, and how many times more that is in the long one."""
    found: dict[str, Any] = {"steps": [short_steps, long_steps]}
    for name in MEASURES:
        if short[name] and long[name]:
            each = short[name] / short_steps, long[name] / long_steps
            found[name] = {
                "ms_per_step": [round(seconds * 1e3, 4) for seconds in each],
                "times": round(each[1] / each[0], 3),
            }
    return found


HEADINGS = {
    "wall_s": "wall s",
    "worker_cpu_s": "worker CPU s",
    "replay_cpu_s": "in replay",
    "sidecar_cpu_s": "sidecar CPU s",
}


def table(found: dict[str, Any]) -> str:
    """A comparison for people."""
    lines = ["           " + "".join(f"{heading:>15}" for heading in HEADINGS.values())]
    for name in NAMES.values():
        if name in found:
            line = f"{name:<11}" + "".join(_cell(found[name][measure], "") for measure in MEASURES)
            rate = found[name].get("orchestrations_per_s")
            lines.append(line + (f"{rate:>10.1f} a second" if rate is not None else ""))
    if "ratios" in found:
        cells = (_cell(found["ratios"].get(measure), " x") for measure in MEASURES)
        lines.append("ratio      " + "".join(cells))
    return "\n".join(lines)


def growth_table(found: dict[str, Any]) -> str:
    """The growth for people."""
    short, long = found["steps"]
    lines = [f"{'':<15}{f'{short:,} steps':>15}{f'{long:,} steps':>15}{'times':>10}"]
    for name, heading in HEADINGS.items():
        if name in found:
            first, second = found[name]["ms_per_step"]
            lines.append(f"{heading:<15}{first:>15.3f}{second:>15.3f}{found[name]['times']:>10.2f}")
    return "\n".join(lines)


def _cell(value: float | None, unit: str) -> str:
    text = "?" if value is None else f"{value:,.2f}{unit}"
    return f"{text:>15}"


def options() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--steps", type=int, default=2_000, help="activities in sequence (2000); 0: no chain")
    add(
        "--longest",
        type=int,
        default=20_000,
        help="steps to grow to, embedded (20000); 0: no growth",
    )
    add("--instances", type=int, default=200, help="small orchestrations (200); 0: none")
    add("--length", type=int, default=5, help="activities in each of them (5)")
    add("--concurrency", type=int, default=50, help="how many of them run at once (50)")
    add("--rounds", type=int, default=1, help="how often everything is measured (1)")
    add("--timeout", type=float, default=1_800, help="seconds for an orchestration (1800)")
    add(
        "--on-file", action="store_true", help="let the embedded sidecar keep its state on the disk"
    )
    add(
        "--sidecar-command",
        metavar="COMMAND",
        help="start another sidecar: {port} is replaced by a free port, {db} by a new file",
    )
    add("--address", metavar="HOST:PORT", help="take a sidecar that is running")
    add("--python", type=Path, help="interpreter that has this project")
    add("--reference-python", type=Path, help="interpreter that has durabletask-dapr")
    add("--no-reference", action="store_true", help="without durabletask-dapr")
    add("--json", action="store_true", help="print one JSON object")
    return parser


def main() -> None:
    """Measure and print."""
    parser = options()
    arguments = parser.parse_args()
    if arguments.address and (arguments.sidecar_command or arguments.on_file):
        parser.error("--address takes a sidecar as it is; leave out the other options for it")
    if min(arguments.rounds, arguments.length, arguments.concurrency) < 1:
        parser.error("--rounds, --length and --concurrency must be at least 1")
    try:
        pythons = {"ours": arguments.python or our_python()}
        if not arguments.no_reference:
            pythons["dapr"] = arguments.reference_python or peer_python("dapr", pythons["ours"])
        found = measure(arguments, pythons)
    except BenchError as error:
        sys.exit(f"benches/end_to_end.py: {error}")
    if arguments.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
