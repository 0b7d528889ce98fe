"""Faults at random under load, and what came of it: `python -m faults.run --seconds 120 --instances 600`.

A sidecar on a file and some workers, each a process of its own, are killed, stopped for a while and started again,
while instances of all kinds run; then the disk is made full, and then slow. When the faults are over, every instance
has to end as it must, with each of its effects. Prints one JSON object; the exit code is 1 if something was lost, stuck
or wrong, or if an activity ran twice without a fault that its first result can have been lost by.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from durabletask.client import OrchestrationState, OrchestrationStatus, TaskHubGrpcClient

from faults.judge import Fault, failed, judge
from faults.kinds import EVENT, EVENT_DATA, KINDS, Kind

HERE = Path(__file__).parent
CALL_TIMEOUT = 60.0
"""Seconds that a client tries one call for, all attempts together."""
END_TIMEOUT = 60.0
"""Seconds that instances have for ending after the last fault."""


class Process:
    """A process that is started again after it was killed; its output goes to a file."""

    def __init__(self, command: list[str], environment: dict[str, str], log: Path):
        self._command = command
        self._environment = environment
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process is not None, "the process was started before"
        return self._process.pid

    def start(self) -> None:
        """Start it, if it does not run."""
        if self._process is None or self._process.poll() is not None:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    env=self._environment,
                    stdout=log,
                    stderr=log,
                )

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, and wait for its end if that is what the signal means."""
        process = self._process
        assert process is not None, "the process was started before"
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def said(self) -> list[str]:
        """The last lines of its output."""
        return self._log.read_text(errors="replace").splitlines()[-20:]

    def died(self) -> bool:
        """Whether it has ended without being asked to."""
        return self._process is not None and self._process.poll() is not None


class Stage:
    """The processes, the folder of effects and the switches of the disk."""

    def __init__(self, folder: Path, workers: int):
        self.faults: list[Fault] = []
        self.effects = folder / "effects"
        self.effects.mkdir()
        self._switches = folder / "switches"
        self._switches.mkdir()
        files = folder / "files"
        files.mkdir()
        self.address = f"127.0.0.1:{_free_port()}"
        environment = {
            **os.environ,
            "FAULTS_EFFECTS": str(self.effects),
            "PYTHONPATH": str(HERE.parent),
        }
        disk = _disk(folder)
        ruled = {
            **environment,
            **({"LD_PRELOAD": str(disk)} if disk else {}),
            "FAULTS_FILES": str(files),
            "FAULTS_SWITCHES": str(self._switches),
        }
        self.has_disk = disk is not None
        python = [sys.executable, "-m", "faults.mortal", str(os.getpid())]
        command = [*python, "durabletask.sidecar", "--log-level", "warn"]
        command += ["--port", self.address.rpartition(":")[2], "--db", str(files / "hub.db")]
        self.sidecar = Process(command, ruled, folder / "sidecar.log")
        self.workers = [
            Process(
                [*python, "faults.worker", self.address],
                environment,
                folder / f"worker-{number}.log",
            )
            for number in range(workers)
        ]

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Start everything; end everything."""
        processes = [self.sidecar, *self.workers]
        try:
            for process in processes:
                process.start()
            yield
        finally:
            for process in processes:
                process.send(signal.SIGCONT)
            for process in reversed(processes):
                process.send(signal.SIGTERM)

    @contextlib.contextmanager
    def disk(self, switch: str, text: str = "") -> Iterator[None]:
        """Make the disk `full` or `slow` for a while."""
        path = self._switches / switch
        path.write_text(text)
        began = time.monotonic()
        try:
            yield
        finally:
            path.unlink()
            self.faults.append(Fault(f"disk {switch}", None, began, time.monotonic()))


def _disk(folder: Path) -> Path | None:
    """The library that makes disks full, compiled; None where there is no such compiler or system."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return None
    library = folder / "disk.so"
    command = [
        compiler,
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        str(library),
        str(HERE / "disk.c"),
        "-ldl",
    ]
    subprocess.run(command, check=True, capture_output=True)
    return library


def _free_port() -> int:
    """A port that nobody is given while the sidecar is down: systems hand out those from 32,768 on."""
    while True:
        port = random.randrange(20_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port


class Load:
    """Instances of all kinds, started and told what they wait for, however often that fails."""

    def __init__(self, address: str, threads: int = 16):
        self._address = address
        self._pool = concurrent.futures.ThreadPoolExecutor(threads)
        self._client = TaskHubGrpcClient(host_address=address)
        self.calls_repeated = 0
        self.instances: dict[str, tuple[Kind, int]] = {}
        self._pending: list[concurrent.futures.Future[None]] = []

    def add(self, prefix: str, count: int) -> None:
        """Have so many instances started, in the background."""
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            instance_id = f"{prefix}-{kind.orchestrator.__name__}-{number}"
            self.instances[instance_id] = (kind, number)
            self._pending.append(self._pool.submit(self._begin, instance_id, kind, number))

    def begun(self) -> None:
        """Wait until all are started."""
        for future in self._pending:
            future.result(2 * CALL_TIMEOUT)
        self._pending.clear()

    def _begin(self, instance_id: str, kind: Kind, number: int) -> None:
        client = self._client

        def start() -> None:
            client.schedule_new_orchestration(
                kind.orchestrator, input=kind.input(number), instance_id=instance_id
            )

        self.insist(start, (grpc.StatusCode.ALREADY_EXISTS,))
        if kind.orchestrator.__name__ == "events":
            self.insist(
                lambda: client.raise_orchestration_event(instance_id, EVENT, data=EVENT_DATA)
            )

    def insist(self, call: Callable[[], Any], fine: tuple[grpc.StatusCode, ...] = ()) -> Any:
        """Make a call until it is answered. An error of `fine` is an answer: an earlier attempt has arrived."""
        deadline = time.monotonic() + CALL_TIMEOUT
        while True:
            try:
                return call()
            except grpc.RpcError as error:
                if error.code() in fine:
                    return None
                if time.monotonic() > deadline:
                    raise
                self.calls_repeated += 1
                time.sleep(random.uniform(0.05, 0.3))

    def answered(self) -> None:
        """Wait until the sidecar answers: with a full disk it can go on, but not start."""
        self.insist(lambda: self._client.get_orchestration_state("nobody"))

    def states(self) -> dict[str, OrchestrationState | None]:
        """The state of each instance when it has ended, or when time was up."""
        deadline = time.monotonic() + END_TIMEOUT
        return dict(
            zip(
                self.instances,
                self._pool.map(lambda each: self._ended(each, deadline), self.instances),
                strict=True,
            )
        )

    def _ended(self, instance_id: str, deadline: float) -> OrchestrationState | None:
        while True:
            state: OrchestrationState | None = self.insist(
                lambda: self._client.get_orchestration_state(instance_id)
            )
            over = state is not None and state.runtime_status in (
                OrchestrationStatus.COMPLETED,
                OrchestrationStatus.FAILED,
                OrchestrationStatus.TERMINATED,
            )
            if over or time.monotonic() > deadline:
                return state
            time.sleep(0.1)

    def close(self) -> None:
        """End its threads."""
        self._pool.shutdown(cancel_futures=True)
        self._client.close()


def kills(stage: Stage, chance: random.Random, seconds: float) -> Counter[str]:
    """Kill and stop processes at random for a while."""
    done: Counter[str] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.05, 0.8))
        worker = chance.choice(stage.workers)
        fault = chance.choice(("sidecar", "worker", "worker", "stop sidecar", "stop worker"))
        process = stage.sidecar if "sidecar" in fault else worker
        began, pid = time.monotonic(), process.pid
        if fault.startswith("stop"):
            process.send(signal.SIGSTOP)
            time.sleep(chance.uniform(0.1, 1.5))
            process.send(signal.SIGCONT)
            done[f"{process_name(fault)} stopped"] += 1
        else:
            process.send(signal.SIGKILL)
            time.sleep(chance.uniform(0.0, 0.7))
            stage.faults.append(
                Fault(f"{process_name(fault)} killed", pid, began, time.monotonic())
            )
            process.start()
            done[f"{process_name(fault)} killed"] += 1
    return done


def process_name(fault: str) -> str:
    """Which of the two kinds of processes a fault is for."""
    return "sidecar" if "sidecar" in fault else "worker"


def run(seconds: float, instances: int, workers: int, seed: int, folder: Path) -> dict[str, Any]:
    """All phases; what came of them."""
    chance = random.Random(seed)
    stage = Stage(folder, workers)
    found: dict[str, Any] = {"seed": seed}
    began = time.monotonic()
    with stage.running():
        load = Load(stage.address)
        try:
            load.add("kills", instances)
            found["faults"] = dict(kills(stage, chance, seconds))
            load.begun()
            load.answered()
            if stage.has_disk:
                load.add("full", instances // 4)
                phases = max(1, round(seconds / 20))
                for _ in range(phases):
                    with stage.disk("full"):
                        time.sleep(chance.uniform(0.5, min(4.0, seconds / 4)))
                    time.sleep(chance.uniform(0.2, 1.0))
                load.begun()
                load.add("slow", instances // 4)
                with stage.disk("slow", "200"):
                    time.sleep(min(10.0, seconds / 4))
                load.begun()
                found["faults"] |= {"disk full": phases, "disk slow": 1}
            else:
                found["left out"] = "full and slow disks: they need Linux and a C compiler"
            found |= judge(load.instances, load.states(), stage.effects, stage.faults)
            found["calls_repeated"] = load.calls_repeated
            dead = [name for name, each in _named(stage) if each.died()]
            found["died"] = dead
            if failed(found):
                found["said"] = {name: each.said() for name, each in _named(stage)}
            found["seconds"] = round(time.monotonic() - began, 1)
        except grpc.RpcError as error:
            said = "\n".join(stage.sidecar.said())
            raise RuntimeError(
                f"faults with --seed {seed}: a call found no answer; the sidecar's last words:\n{said}"
            ) from error
        finally:
            load.close()
    return found


def _named(stage: Stage) -> list[tuple[str, Process]]:
    workers = [(f"worker {number}", each) for number, each in enumerate(stage.workers)]
    return [("sidecar", stage.sidecar), *workers]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    add = parser.add_argument
    add("--seconds", type=float, default=120, help="how long processes are killed (120)")
    add("--instances", type=int, default=600, help="instances in that time (600)")
    add("--workers", type=int, default=2, help="worker processes (2)")
    add("--seed", type=int, default=random.randrange(2**32), help="of the faults (random)")
    add("--keep", action="store_true", help="keep the folder with database, effects and logs")
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="faults-"))
    try:
        found = run(
            arguments.seconds, arguments.instances, arguments.workers, arguments.seed, folder
        )
    finally:
        if arguments.keep:
            print(f"kept: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    print(json.dumps(found, indent=1))
    sys.exit(1 if failed(found) else 0)


if __name__ == "__main__":
    main()
