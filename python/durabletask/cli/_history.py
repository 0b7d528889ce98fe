"""`durabletask history export`: an instance's history as a file, for `durabletask replay`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc

from durabletask import _core
from durabletask.client import TaskHubGrpcClient
from durabletask.internal.shared import get_default_host_address
from durabletask.replay import export_history

_EXPLANATION = """\
The file is JSON, format "durabletask-history": one object with instance_id, name, exported_at, sdk_version and events.
It holds the events as the sidecar sent them, payloads included: treat it like the data of your orchestrations.

exit code: 0 written; 1 the sidecar does not have the instance or can not be reached, or the file can not be written.
"""


def add_to(commands: Any) -> None:
    """Add the command to those of `durabletask`."""
    parser = commands.add_parser(
        "history", help="read histories", description="Reads histories from a sidecar."
    )
    subcommands = parser.add_subparsers(required=True, metavar="COMMAND")
    export = subcommands.add_parser(
        "export",
        help="write an instance's history to a file",
        description="Writes the history of an instance as a file that `durabletask replay` checks code against.",
        epilog=_EXPLANATION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    export.add_argument("instance_id", metavar="ID", help="the instance")
    export.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="the sidecar; by default what DAPR_GRPC_ENDPOINT or DAPR_GRPC_HOST and DAPR_GRPC_PORT say, "
        "else localhost:4001",
    )
    export.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="where to write to; by default stdout"
    )
    export.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="how long to wait for the sidecar (default 60)",
    )
    export.set_defaults(run=run_export)


def run_export(arguments: argparse.Namespace) -> int:
    """Export one history."""
    address = arguments.address or get_default_host_address()
    instance_id: str = arguments.instance_id
    try:
        with TaskHubGrpcClient(host_address=address) as client:
            response = client._call(
                "GetInstanceHistory",
                _core.encode_get_instance_history_request(instance_id),
                arguments.timeout,
            )
        exported = export_history(instance_id, response)
    except grpc.RpcError as error:
        return _failed(
            f"{instance_id}: the sidecar at {address} answers {error.code().name}: {error.details()}"
        )
    except ValueError as error:
        return _failed(f"{instance_id}: {error}")
    if not exported["events"]:  # durabletask-go's answer for an instance that does not exist
        return _failed(f"{instance_id}: the sidecar at {address} has no history of this instance")
    text = json.dumps(exported, indent=1, ensure_ascii=False) + "\n"
    if arguments.output is None:
        sys.stdout.write(text)
        return 0
    try:
        _replace(arguments.output, text)
    except OSError as error:
        return _failed(f"{arguments.output}: {error.strerror or error}")
    print(f"{arguments.output}: {len(exported['events'])} events of {instance_id}", file=sys.stderr)  # noqa: T201
    return 0


def _replace(path: Path, text: str) -> None:
    """Write a file so that it is there as a whole, or as it was before."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            file.write(text)
            file.close()
            temporary.replace(path)
        except BaseException:
            file.close()
            temporary.unlink()
            raise


def _failed(message: str) -> int:
    print(f"durabletask history export: {message}", file=sys.stderr)  # noqa: T201
    return 1
