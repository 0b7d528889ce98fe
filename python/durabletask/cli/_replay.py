"""`durabletask replay`: do recorded histories still replay with today's code?"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from durabletask._worker.options import SEMANTICS, Semantics
from durabletask.cli._apps import AppError, load
from durabletask.replay import CheckResult, CheckStatus, Replayer
from durabletask.worker import TaskHubGrpcWorker

_EXPLANATION = """\
--app names what the histories are replayed with: a durabletask.replay.Replayer, a TaskHubGrpcWorker with its
registrations, a WorkflowRuntime of Dapr's SDK with this engine under it, or a list or tuple of orchestrator functions.
The module is imported from the current directory, or from wherever Python finds it.

A file holds what `durabletask history export` writes, or the bytes of a GetInstanceHistoryResponse, or the bytes of a
turn's WorkItem or OrchestratorRequest.

--semantics, given twice, compares the decisions of two releases: which recorded instances would decide otherwise under
the second? Those can not be taken over by a worker that follows it, and have to end before an upgrade; the others can.
What is compared is what is recorded: it says nothing of decisions that an instance has still to make.

exit code:
  0  every history replays
  1  some do not: the code does something else than they say, or fails where they do not; or they would decide otherwise
  2  some files could not be read, so that nothing is known about them, or the arguments are wrong;
     this wins over 1, and all other files are checked and reported nevertheless
"""
# How long nothing is said on stderr, so that short runs stay silent.
_PROGRESS_SECONDS = 1.0


def add_to(commands: Any) -> None:
    """Add the command to those of `durabletask`."""
    parser = commands.add_parser(
        "replay",
        help="check that recorded histories still replay with today's code",
        description="Replays recorded histories with today's code, and reports where the two part.",
        epilog=_EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--app", required=True, metavar="MODULE:NAME", help="the orchestrators, see below"
    )
    parser.add_argument(
        "--semantics",
        action="append",
        choices=SEMANTICS,
        default=[],
        help="the release whose decisions are followed; by default what the app says; two are compared",
    )
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="report only what does not replay, and show no progress",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="a history, or a directory: all files in and under it",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check all files; the exit code is the one that `--help` explains."""
    try:
        replayer = _replayer(arguments.app)
    except AppError as error:
        _say(f"durabletask replay: --app {arguments.app}: {error}")
        return 2
    if len(arguments.semantics) == 2:
        return _compare(replayer, arguments)
    if len(arguments.semantics) > 2:
        _say("durabletask replay: --semantics is given once, or twice to compare")
        return 2
    for semantics in arguments.semantics:
        replayer = replayer.following(semantics)
    counts: Counter[CheckStatus] = Counter()
    progress = _Progress(arguments.quiet)
    for result in replayer.iter_check(_files(arguments.files)):
        counts[result.status] += 1
        if not (arguments.quiet and result.ok):
            print(_line(result), flush=True)  # noqa: T201
        progress.show(counts)
    if not counts:
        _say("durabletask replay: there are no files in what was given")
        return 2
    print(_summary(counts))  # noqa: T201
    if counts[CheckStatus.UNREADABLE]:
        return 2
    return 1 if counts[CheckStatus.NON_DETERMINISTIC] or counts[CheckStatus.FAILED] else 0


def _compare(replayer: Replayer, arguments: argparse.Namespace) -> int:
    """Say of each file whether what it records would have been decided so under the second release too."""
    first: Semantics
    second: Semantics
    first, second = arguments.semantics
    before, after = replayer.following(first), replayer.following(second)
    counts: Counter[str] = Counter()
    for file in _files(arguments.files):
        (was,) = before.iter_check([file])
        will = next(iter(after.iter_check([file]))) if was.ok else was
        verdict = _MARKS[was.status] if not was.ok else "same" if will.ok else "OTHERWISE"
        counts[verdict] += 1
        if verdict != "same" or not arguments.quiet:
            under = "" if will.ok or not was.ok else f"under {second}: "
            print(_line(will, verdict, under), flush=True)  # noqa: T201
    if not counts:
        _say("durabletask replay: there are no files in what was given")
        return 2
    total = counts.total()
    print(  # noqa: T201
        f"{total} {'history' if total == 1 else 'histories'}: {counts['same']} the same under {first} and {second}, "
        f"{counts['OTHERWISE']} would decide otherwise under {second}, "
        f"{total - counts['same'] - counts['OTHERWISE']} do not replay under {first}"
    )
    if counts[_MARKS[CheckStatus.UNREADABLE]]:
        return 2
    return 0 if counts["same"] == total else 1


def _replayer(app: str) -> Replayer:
    found = load(app)
    if isinstance(found, Replayer):
        return found
    # A runtime of Dapr's SDK, with this engine under it, has a worker inside.
    found = getattr(found, "_WorkflowRuntime__worker", found)
    if isinstance(found, TaskHubGrpcWorker):
        return Replayer.from_worker(found)
    if isinstance(found, (list, tuple)) and all(map(callable, found)):
        try:
            return Replayer(found)
        except ValueError as error:
            raise AppError(str(error)) from None
    raise AppError(
        "expected a durabletask.replay.Replayer, a TaskHubGrpcWorker, or a list or tuple of orchestrators, "
        f"found {type(found).__name__}"
    )


def _files(given: list[str]) -> Iterator[Path]:
    """The files, those of directories sorted; one at a time, since there may be a million of them."""
    for name in given:
        path = Path(name)
        if not path.is_dir():
            yield path
            continue
        for directory, directories, files in os.walk(path):
            directories.sort()
            for file in sorted(files):
                yield Path(directory, file)


_MARKS = {
    CheckStatus.OK: "ok",
    CheckStatus.NON_DETERMINISTIC: "NON-DETERMINISTIC",
    CheckStatus.FAILED: "FAILED",
    CheckStatus.UNREADABLE: "UNREADABLE",
}


def _line(result: CheckResult, mark: str | None = None, under: str = "") -> str:
    what = f" ({result.name or '?'} {result.instance_id or '?'}, {result.events} events)"
    line = f"{mark or _MARKS[result.status]:<17} {result.source}{what if result.events else ''}"
    return (
        line
        if result.ok
        else "\n".join([line, *(f"    {text}" for text in (under + result.message).splitlines())])
    )


def _summary(counts: Counter[CheckStatus]) -> str:
    total = sum(counts.values())
    parts = ", ".join(
        f"{counts[status]} {status.value}" for status in CheckStatus if counts[status]
    )
    return f"{total} {'history' if total == 1 else 'histories'}: {parts}"


class _Progress:
    """Says on stderr how far it is, once a second."""

    def __init__(self, quiet: bool, clock: Callable[[], float] = time.monotonic) -> None:
        self._quiet = quiet
        self._clock = clock
        self._last = clock()

    def show(self, counts: Counter[CheckStatus]) -> None:
        if self._quiet or self._clock() - self._last < _PROGRESS_SECONDS:
            return
        self._last = self._clock()
        _say(f"... {_summary(counts)} so far")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201
