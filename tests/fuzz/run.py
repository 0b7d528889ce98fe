"""Random calls to the embedded sidecar: `python -m fuzz.run --seconds 300`.

Clients make every call of the protocol, and of the sidecar's own service, with random messages and with damaged ones,
while two workers take work and
answer it in all ways: rightly, twice, late, with another's token, with random actions, not at all, and by leaving. Each
call has to be answered in time and with a status that names the caller's mistake; the process has to live, and not to
grow without end; and when all that is over, no row of the database may belong to an instance that is not there.

Prints one JSON object; the exit code is 1 if something of that is not so.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from durabletask import _core
from durabletask._client.listing import Filter
from durabletask.client import OrchestrationStatus

from fuzz.chance import Chance
from support.command import sidecar_process
from support.messages import CONTRACT, message_class

SERVICE = "/TaskHubSidecarService/"
OWN_SERVICE = "/durabletask.sidecar.v1.SidecarService/"
MOST_MEMORY = 400 * 2**20
"""Bytes that the process may have: the ids are few, so what is kept is little, however long it is called."""
CALL_TIMEOUT = 20.0
"""Seconds after which a call that is no wait counts as hanging."""
WAIT_TIMEOUT = 0.3
"""Seconds that calls are given that wait for an instance: most wait for what never comes."""
WAITS = {
    "WaitForInstanceStart",
    "WaitForInstanceCompletion",
    # These are answered when a worker has seen to it.
    "TerminateInstance",
    "SuspendInstance",
    "ResumeInstance",
}
FINE = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.UNIMPLEMENTED,
}
CALLS: list[dict[str, Any]] = [
    call
    for call in json.loads(CONTRACT.read_text())["services"]["TaskHubSidecarService"]
    if not call["server_streaming"]
]


class Findings:
    """What was seen, by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: Counter[str] = Counter()
        self.problems: list[str] = []

    def answered(self, method: str, code: grpc.StatusCode, details: str | None) -> None:
        """Note the answer to a call."""
        waited = method in WAITS and code in (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED,
        )
        with self._lock:
            self.answers[f"{method} {code.name}"] += 1
            if code not in FINE and not waited:
                self.problems.append(f"{method}: {code.name}: {details}")


class Caller:
    """Makes calls on one channel."""

    def __init__(self, address: str, findings: Findings):
        self.channel = grpc.insecure_channel(
            address, options=[("grpc.use_local_subchannel_pool", 1)]
        )
        self._findings = findings

    def call(
        self, method: str, request: bytes, timeout: float = CALL_TIMEOUT, service: str = SERVICE
    ) -> None:
        """Make a call and note its answer."""
        stub: Any = self.channel.unary_unary(service + method)
        try:
            stub(request, timeout=timeout)
        except grpc.RpcError as error:
            self._findings.answered(method, error.code(), error.details())
        else:
            self._findings.answered(method, grpc.StatusCode.OK, None)


def client(address: str, seed: int, end: float, findings: Findings) -> None:
    """Make random calls until the end."""
    chance = Chance(seed)
    caller = Caller(address, findings)
    with caller.channel:
        while time.monotonic() < end:
            if chance.random.random() < 0.1:
                name, request = _own_call(chance)
                caller.call(name, request, service=OWN_SERVICE)
                continue
            method = chance.random.choice(CALLS)
            if method["request"] == "google.protobuf.Empty":
                request = b""
            else:
                request = chance.message(method["request"]).SerializeToString()
            if chance.random.random() < 0.15:
                request = chance.bytes_like(request)
            timeout = WAIT_TIMEOUT if method["name"] in WAITS else CALL_TIMEOUT
            caller.call(method["name"], request, timeout)


def _own_call(chance: Chance) -> tuple[str, bytes]:
    draw = chance.random
    wanted = Filter(
        status=draw.choice((None, OrchestrationStatus.COMPLETED, OrchestrationStatus.PENDING)),
        name=draw.choice((None, *chance.names)),
        instance_id_prefix=draw.choice((None, "i", chance.instance())),
        roots_only=draw.random() < 0.3,
    ).encoded()
    name, request = draw.choice(
        (
            ("CountInstances", b""),
            (
                "ListInstances",
                _core.encode_list_instances_request(
                    wanted,
                    draw.random() < 0.5,
                    draw.choice((None, "", "0.0", "-1.5", "x", "9" * 40)),
                    draw.choice((None, 1, 1_000, 2**31)),
                ),
            ),
            (
                "PurgeInstances",
                _core.encode_purge_by_filter_request(wanted, recursive=draw.random() < 0.5),
            ),
        )
    )
    return name, chance.bytes_like(request) if draw.random() < 0.3 else request


def worker(address: str, seed: int, end: float, findings: Findings) -> None:
    """Take work and answer it in all ways until the end."""
    chance = Chance(seed)
    tokens: list[str] = ["", "0", "another"]
    while time.monotonic() < end:
        caller = Caller(address, findings)
        with caller.channel:
            request = chance.message("GetWorkItemsRequest").SerializeToString()
            stub: Any = caller.channel.unary_stream(SERVICE + "GetWorkItems")
            stream = stub(request, timeout=chance.random.uniform(0.01, 3.0))
            try:
                for item in stream:
                    _answer(chance, caller, message_class("WorkItem").FromString(item), tokens)
                    if time.monotonic() > end or chance.random.random() < 0.01:
                        stream.cancel()
            except grpc.RpcError as error:
                if error.code() not in (
                    *FINE,
                    grpc.StatusCode.CANCELLED,
                    grpc.StatusCode.DEADLINE_EXCEEDED,
                ):
                    findings.answered("GetWorkItems", error.code(), error.details())


def _answer(chance: Chance, caller: Caller, item: Any, tokens: list[str]) -> None:
    tokens.append(item.completionToken)
    del tokens[:-50]
    if chance.random.random() < 0.1:
        return  # never answered
    if item.HasField("activityRequest"):
        method, response = "CompleteActivityTask", chance.message("ActivityResponse")
        request = item.activityRequest
        response.instanceId = request.orchestrationInstance.instanceId
        response.taskId = request.taskId
    elif item.HasField("orchestratorRequest"):
        method, response = "CompleteOrchestratorTask", chance.message("OrchestratorResponse")
        response.instanceId = item.orchestratorRequest.instanceId
        for number, action in enumerate(response.actions, start=1):
            if chance.random.random() < 0.8:
                action.id = number + len(item.orchestratorRequest.pastEvents)
    else:
        return
    likely = chance.random.random() < 0.9
    response.completionToken = item.completionToken if likely else chance.random.choice(tokens)
    encoded = response.SerializeToString()
    if chance.random.random() < 0.05:
        encoded = chance.bytes_like(encoded)
    for _ in range(1 if chance.random.random() < 0.9 else 2):
        caller.call(method, encoded)


def _noted(
    target: Callable[..., None], address: str, seed: int, end: float, findings: Findings
) -> None:
    """Let a thread's own failure be seen, too."""
    try:
        target(address, seed, end, findings)
    except Exception as error:
        findings.problems.append(f"{target.__name__}: {error!r}")


def orphans(database: Path) -> list[str]:
    """Rows that belong to an instance that is not there."""
    connection = sqlite3.connect(database)
    with contextlib.closing(connection):
        tables = {
            name
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        }
        found = []
        for table in sorted(tables - {"instances"}):
            columns = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
            if "instance" not in columns:
                continue
            query = (
                f"SELECT count(*) FROM {table} WHERE instance NOT IN (SELECT key FROM instances)"
            )
            (count,) = connection.execute(query).fetchone()
            if count:
                found.append(f"{table}: {count} rows of no instance")
        return found


def memory_of(pid: int) -> int:
    """The most memory that a process has had, in bytes; 0 where the system does not tell."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return next(
        (int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM:")), 0
    )


def run(seconds: float, seed: int, folder: Path) -> dict[str, Any]:
    """Call for so long; what was seen."""
    findings = Findings()
    database = folder / "hub.db"
    log = folder / "sidecar.log"
    chance = random.Random(seed)
    with sidecar_process(log, "--db", str(database), "--log-level", "error") as (address, process):
        end = time.monotonic() + seconds
        threads = [
            threading.Thread(
                target=_noted, args=(target, address, chance.randrange(2**32), end, findings)
            )
            for target in (client, client, client, worker, worker)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(seconds + 4 * CALL_TIMEOUT)
        hanging = sum(thread.is_alive() for thread in threads)
        alive = process.poll() is None
        if alive:
            Caller(address, findings).call("Hello", b"")
        memory = memory_of(process.pid)
    code = process.returncode
    said = log.read_text(errors="replace")
    problems = findings.problems
    if hanging:
        problems.append(f"{hanging} threads hang in a call")
    if not alive or code != 0:
        problems.append(f"the sidecar ended with {code}")
    if memory > MOST_MEMORY:
        problems.append(f"the sidecar has had {memory} bytes")
    if "panicked" in said:
        problems.append(said[said.index("panicked") - 200 :][:1000])
    problems += orphans(database)
    return {
        "seed": seed,
        "calls": findings.answers.total(),
        "memory_mb": round(memory / 2**20, 1),
        "answers": dict(sorted(findings.answers.items())),
        "problems": problems[:20],
        "problems_in_all": len(problems),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--seconds", type=float, default=300, help="how long (300)")
    add("--seed", type=int, default=random.randrange(2**32), help="of what is random (random)")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    try:
        found = run(arguments.seconds, arguments.seed, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=1))
    sys.exit(1 if found["problems"] else 0)


if __name__ == "__main__":
    main()
