"""`durabletask worker`: runs a program's worker, in one process or several."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from typing import Any

from durabletask.cli._apps import AppError, load
from durabletask.cli._supervisor import Supervisor
from durabletask.worker import TaskHubGrpcWorker

_EXPLANATION = """\
MODULE:NAME is a TaskHubGrpcWorker with its registrations, or a function without arguments that returns one. The module
is imported from the current directory, or from wherever Python finds it.

SIGINT (Ctrl-C) and SIGTERM let what runs end; a second signal ends everything at once. With --processes or --reload,
each worker is a process of its own with its own connection; one that dies is started again, after pauses that grow.

exit code: 0 all that ran has ended; 1 some of it still ran when its time was over; 2 the worker can not be found.
"""


def add_to(commands: Any) -> None:
    """Add the command to those of `durabletask`."""
    parser = commands.add_parser(
        "worker",
        help="run a worker",
        description="Runs a worker until it is told to stop.",
        epilog=_EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("app", metavar="MODULE:NAME", help="the worker, see below")
    parser.add_argument(
        "--processes",
        metavar="N",
        type=_positive,
        default=1,
        help="how many processes work, each with its own connection (default 1)",
    )
    parser.add_argument(
        "--reload",
        action="store_true",
        help="start anew when a Python file in or under the current directory changes; for development",
    )
    parser.add_argument(
        "--address", metavar="HOST:PORT", help="the sidecar; by default what the worker says"
    )
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, found {number}")
    return number


def run(arguments: argparse.Namespace) -> int:
    """Run the worker; the exit code is the one that `--help` explains."""
    if arguments.processes > 1 or arguments.reload:
        command = [sys.executable, "-m", "durabletask", "worker", "--supervised"]
        if arguments.address:
            command += ["--address", arguments.address]
        return Supervisor(
            [*command, "--", arguments.app], arguments.processes, watches=arguments.reload
        ).run()
    if arguments.address:
        # For whatever else the module connects to the sidecar, clients for one.
        os.environ["DAPR_GRPC_ENDPOINT"] = arguments.address
    try:
        worker = _worker(arguments.app)
    except AppError as error:
        print(f"durabletask worker: {arguments.app}: {error}", file=sys.stderr)  # noqa: T201
        return 2
    if arguments.address:
        worker._connect_to(arguments.address)
    if arguments.supervised:
        threading.Thread(target=_stop_with_parent, daemon=True).start()
    return worker.run()


def _worker(app: str) -> TaskHubGrpcWorker:
    found = load(app)
    if callable(found) and not isinstance(found, TaskHubGrpcWorker):
        found = found()
    if not isinstance(found, TaskHubGrpcWorker):
        raise AppError(
            f"expected a TaskHubGrpcWorker, or a function that returns one, found {type(found).__name__}"
        )
    return found


def _stop_with_parent() -> None:
    """Stop when standard input ends: the supervisor closes it, or has been killed."""
    while sys.stdin.buffer.read(1024):
        pass
    if sys.platform == "win32":
        signal.raise_signal(signal.SIGTERM)
    else:  # to the main thread, which waits for it
        os.kill(os.getpid(), signal.SIGTERM)
