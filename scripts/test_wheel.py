"""Runs the examples on the wheel in dist, away from this repository: `make wheel test-wheel`.

The wheel is installed into an empty environment in a temporary directory. Nothing but that
environment is on the PATH, so neither Rust nor this repository's files can lend a hand. The
examples run twice: with an embedded sidecar each, and all on one `durabletask-sidecar`, the command
that comes with the wheel.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path

from check_wheel import ROOT, find_wheel

EXPECTED_PACKAGES = {"durabletask-rs", "grpcio", "typing_extensions"}
GREETINGS = '["Hello Tokyo!", "Hello Seattle!", "Hello London!"]'
# What an installed program may need of this process's environment; above all no PYTHONPATH.
KEPT_VARIABLES = ("HOME", "LANG", "SYSTEMROOT", "TMPDIR")


class Environment:
    """An empty virtual environment, and processes that know nothing else."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder / "venv", with_pip=True)
        self.bin = folder / "venv" / "bin"
        self.variables = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        self.variables["PATH"] = str(self.bin)
        if cargo := shutil.which("cargo", path=self.variables["PATH"]):
            sys.exit(f"{cargo} is on the PATH of the empty environment")

    def install(self, wheel: Path) -> None:
        """Install the wheel and what it needs, from the registry that pip is configured for."""
        command: list[str | Path] = [self.bin / "python", "-m", "pip", "install", "--quiet", wheel]
        subprocess.run(command, cwd=self.folder, check=True)

    def output(self, *command: str | Path, timeout: float = 60) -> str:
        """Run a program of the environment and return what it printed; exit if it fails."""
        process = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        if process.returncode != 0:
            shown = " ".join(map(str, command))
            sys.exit(
                f"`{shown}` ended with {process.returncode}:\n{process.stdout}{process.stderr}"
            )
        return process.stdout

    @contextlib.contextmanager
    def sidecar(self) -> Iterator[str]:
        """Run the wheel's `durabletask-sidecar` on a free port and yield its address."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with subprocess.Popen(
            [self.bin / "durabletask-sidecar", "--port", str(port)],
            cwd=self.folder,
            env=self.variables,
        ) as process:
            try:
                wait_until_open(port, process)
                yield f"127.0.0.1:{port}"
            finally:
                process.terminate()
                if process.wait(timeout=15) not in (0, -15):
                    sys.exit(f"durabletask-sidecar ended with {process.returncode} when terminated")


def wait_until_open(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the port accepts connections; exit if the process ends before."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"durabletask-sidecar ended with {process.returncode} when started")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    sys.exit(f"durabletask-sidecar did not listen on port {port} within 15 s")


def check_installation(environment: Environment) -> None:
    """Exit unless the wheel, grpcio and what grpcio needs are all there is."""
    origin = environment.output("python", "-c", "import durabletask; print(durabletask.__file__)")
    if not Path(origin).is_relative_to(environment.folder):
        sys.exit(f"durabletask was imported from {origin.strip()}, not from the wheel")
    listed = json.loads(environment.output("python", "-m", "pip", "list", "--format", "json"))
    found = {package["name"] for package in listed} - {"pip", "setuptools"}
    canonical = {re.sub(r"[-_.]+", "_", name) for name in found}
    if canonical != {re.sub(r"[-_.]+", "_", name) for name in EXPECTED_PACKAGES}:
        sys.exit(f"expected {sorted(EXPECTED_PACKAGES)} to be installed, found {sorted(found)}")
    print(f"installed: {', '.join(sorted(found))}")


def run_examples(environment: Environment, *arguments: str) -> None:
    """Run each example; it ends with 0, or this program ends."""
    for example in sorted((environment.folder / "examples").glob("[a-z]*.py")):
        start = time.monotonic()
        printed = environment.output("python", example, *arguments)
        if example.stem == "function_chaining" and printed.strip() != GREETINGS:
            sys.exit(f"examples/{example.name} printed {printed!r}, expected {GREETINGS}")
        print(f"  {example.name}: {time.monotonic() - start:.1f} s")


def main() -> None:
    """Install, look, run the examples in both ways."""
    wheel = find_wheel()
    with tempfile.TemporaryDirectory(prefix="durabletask-wheel-") as name:
        environment = Environment(Path(name).resolve())
        environment.install(wheel)
        check_installation(environment)
        shutil.copytree(
            ROOT / "examples",
            environment.folder / "examples",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        print("each example with its own embedded sidecar")
        run_examples(environment)
        with environment.sidecar() as address:
            print(f"all examples on durabletask-sidecar at {address}")
            run_examples(environment, address)
    print(f"{wheel.name} works")


if __name__ == "__main__":
    main()
