"""How many instructions replaying a step takes, counted by callgrind: the same on a busy machine as on a quiet one.

Two things are counted. `core` is the engine alone, with orchestrators in Rust (rust/core/benches): it depends on
nothing but the compiler, and continuous integration holds it against what is recorded in `results/instructions.json`.
`python` is the whole way, `Replayer.execute` with orchestrators in Python, and what a turn of a live one takes, which
must not depend on how long its history is; this is recorded for each version of Python.

More than 10 % above what is recorded fails. Whoever has a good reason, or has made it faster, records the new numbers:
`make bench-instructions ACCEPT=1`. Needs valgrind; what runs under it is an optimized build.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RECORDED = HERE / "results" / "instructions.json"
TOLERANCE = 0.10
STEPS = 2_000
"""Of the histories replayed in Python."""
STEPS_OF = {"when_any_all": 500}
"""What costs more per step the more steps there are."""
TURNS = 10
"""Of a live orchestrator, of which the last is counted."""


class CountError(Exception):
    """What keeps the instructions from being counted; for whoever asked."""


def run(command: list[str | Path], what: str, **options: Any) -> str:
    """Run a command and return what it printed.

    Raises:
        CountError: if it cannot be run or fails.
    """
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, **options)
    except OSError as error:
        raise CountError(f"cannot {what}: {error}") from error
    if done.returncode:
        said = done.stderr or ""
        raise CountError(
            f"cannot {what}: {command[0]} ended with {done.returncode}\n{said}".rstrip()
        )
    return str(done.stdout)


def callgrind(options: list[str], command: list[str | Path], what: str) -> tuple[str, list[int]]:
    """Run a command under callgrind; return what it printed, and the counts in order of their dumps."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "count"
        valgrind: list[str | Path] = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={out}",
            *options,
            *command,
        ]
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        printed = run(valgrind, what, stderr=subprocess.PIPE, env=environment)
        dumps = sorted(out.parent.glob("count.*"), key=lambda path: int(path.suffix[1:]))
        counts = [re.search(r"^summary: (\d+)", dump.read_text(), re.M) for dump in dumps]
    return printed, [int(count[1]) for count in counts if count]


def count_core() -> dict[str, float]:
    """Instructions a step in the engine alone, by workload."""
    build: list[str | Path] = ["cargo", "build", "--locked", "--quiet", "--profile", "bench"]
    build += ["--package", "durabletask-core-benches", "--bin", "instructions"]
    built = run([*build, "--message-format=json-render-diagnostics"], "build the engine", cwd=ROOT)
    executables = [json.loads(line).get("executable") for line in built.splitlines()]
    program = next((path for path in executables if path), None)
    if program is None:
        raise CountError("cannot find what cargo built: it names no executable")
    function = "*counted_replay"
    printed, counts = callgrind(
        [f"--toggle-collect={function}", f"--dump-after={function}"], [program], "count the engine"
    )
    workloads = [line.split() for line in printed.splitlines()]
    if len(workloads) != len(counts):
        raise CountError(
            f"expected a count for each of {len(workloads)} workloads, found {len(counts)}: callgrind does not see "
            f"{function} in {program}"
        )
    return {
        name: round(count / int(steps), 1)
        for (name, steps), count in zip(workloads, counts, strict=True)
    }


def count_python(python: Path) -> dict[str, float]:
    """Instructions a step from request to response in Python, by workload; and those of a live orchestrator's turn."""
    with tempfile.TemporaryDirectory() as directory:
        plan = write_plan(Path(directory))
        plan_path = Path(directory) / "plan"
        plan_path.write_text(json.dumps(plan))
        _, counts = callgrind(
            ["--dump-before=ctermid"],
            [python, HERE / "counted.py", plan_path],
            "count replays in Python",
        )
        # A count is written at the beginning and at the end of each.
        if len(counts) != 2 * len(plan):
            raise CountError(
                f"expected {2 * len(plan)} counts, found {len(counts)}: os.ctermid of {python} does not call ctermid"
            )
        for each in plan:
            check_response(each, Path(each["response"]).read_bytes())
    return {
        each["name"]: round(count / each["per"], 1)
        for each, count in zip(plan, counts[1::2], strict=True)
    }


def write_plan(directory: Path) -> list[dict[str, Any]]:
    """Write the requests; return what is to be done with them."""
    from warm import LONG, SHORT, requests, write_requests
    from workloads import WORKLOADS

    plan: list[dict[str, Any]] = []
    for name, workload in WORKLOADS.items():
        steps = STEPS_OF.get(name, STEPS)
        (directory / name).write_bytes(workload.request("dapr", steps))
        plan.append({"name": name, "workload": name, "steps": steps, "per": steps})
    for steps in (SHORT, LONG):
        name = f"turn_after_{steps}"
        write_requests(directory / name, requests("delta", steps, TURNS))
        plan.append({"name": name, "workload": None, "steps": steps, "per": 1})
    for each in plan:
        each["request"] = str(directory / each["name"])
        each["response"] = str(directory / f"{each['name']}.response")
    return plan


def check_response(each: dict[str, Any], response: bytes) -> None:
    """What was counted has come to its end, or to its next action.

    Raises:
        CountError: if it has not.
    """
    from peers import completed_with
    from support import wire
    from workloads import WORKLOADS

    if each["workload"]:
        workload = WORKLOADS[each["workload"]]
        expected = workload.result(each["steps"])
        found = (workload.found or completed_with)(response)
    else:
        expected, found = each["steps"] + TURNS + 1, wire.number(response, 2, 1)
    if found != expected:
        raise CountError(f"{each['name']}: expected {expected!r}, found {found!r}")


def python_version(python: Path) -> str:
    """Its minor version, such as "3.11"."""
    ask: list[str | Path] = [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    return run(ask, "ask for the version of Python").strip()


def compare(what: str, counted: dict[str, float], recorded: dict[str, float]) -> list[str]:
    """Print the counts beside what is recorded; return the workloads that take too many."""
    print(f"instructions a step, {what}:")
    above, below = [], []
    for name, count in counted.items():
        if name not in recorded:
            print(f"  {name:<19} {count:>10,.0f}")
            continue
        change = count / recorded[name] - 1
        print(f"  {name:<19} {count:>10,.0f}   recorded {recorded[name]:>10,.0f}   {change:+7.1%}")
        if change > TOLERANCE:
            above.append(f"{name} ({change:+.1%})")
        elif change < -TOLERANCE:
            below.append(f"{name} ({change:+.1%})")
    if below:
        print(
            f"  More than {TOLERANCE:.0%} below what is recorded: {', '.join(below)}. "
            "`make bench-instructions ACCEPT=1` records it, so that it is not lost again."
        )
    if not recorded:
        print("  Nothing is recorded to compare with; `make bench-instructions ACCEPT=1` does it.")
    return above


def read_recorded() -> dict[str, Any]:
    """What is recorded; for another architecture, nothing."""
    if not RECORDED.exists():
        return {}
    recorded: dict[str, Any] = json.loads(RECORDED.read_text())
    return recorded if recorded.get("architecture") == platform.machine() else {}


def check(parts: list[str], python: Path, *, accept: bool) -> None:
    """Count, print, and record or judge.

    Raises:
        CountError: if something cannot be counted, or takes too many instructions.
    """
    if shutil.which("valgrind") is None:
        raise CountError("valgrind is not installed: apt-get install valgrind, or the like")
    recorded = read_recorded()
    now: dict[str, Any] = {"architecture": platform.machine(), **recorded}
    compiler = run(["rustc", "--version"], "ask for the version of rustc", cwd=ROOT).strip()
    above = []
    if "core" in parts:
        counted = count_core()
        before = recorded.get("core", {})
        above += compare("the engine alone", counted, before.get("instructions_per_step", {}))
        if above and before["compiler"] != compiler:
            print(f"  Recorded with {before['compiler']}; this is {compiler}.")
        now["core"] = {"compiler": compiler, "instructions_per_step": counted}
    if "python" in parts:
        version = python_version(python)
        counted = count_python(python)
        key = f"python{version}"
        above += compare(
            f"Replayer.execute on Python {version}",
            counted,
            recorded.get(key, {}).get("instructions_per_step", {}),
        )
        now[key] = {"compiler": compiler, "instructions_per_step": counted}
    if accept:
        RECORDED.parent.mkdir(exist_ok=True)
        RECORDED.write_text(json.dumps(now, indent=1, sort_keys=True) + "\n")
        print(f"recorded in {RECORDED.relative_to(ROOT)}")
    elif above:
        raise CountError(
            f"more than {TOLERANCE:.0%} above what is recorded: {', '.join(above)}. See where they are with callgrind "
            "(CONTRIBUTING.md says how); if they are worth it, record them with `make bench-instructions ACCEPT=1` and "
            "say why in the commit"
        )


def main() -> None:
    """Count what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("part", nargs="?", choices=["core", "python", "both"], default="both")
    parser.add_argument("--python", type=Path, help="interpreter that has this project")
    parser.add_argument("--accept", action="store_true", help="record what is counted")
    arguments = parser.parse_args()
    python = arguments.python or Path(sys.executable)
    parts = ["core", "python"] if arguments.part == "both" else [arguments.part]
    try:
        check(parts, python, accept=arguments.accept)
    except CountError as error:
        sys.exit(f"benches/instructions.py: {error}")


if __name__ == "__main__":
    main()
