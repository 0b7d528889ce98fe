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
        log = self.folder / "sidecar.log"
        with (
            log.open("w") as errors,
            subprocess.Popen(
                [self.bin / "durabletask-sidecar", "--port", "0"],
                cwd=self.folder,
                env=self.variables,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            ) as process,
        ):
            try:
                assert process.stdout is not None
                line = process.stdout.readline()
                listening = re.search(r"listening on (\S+)", line)
                if not listening:
                    sys.exit(f"durabletask-sidecar printed {line!r}, no address\n{log.read_text()}")
                yield listening[1]
            finally:
                process.terminate()
                if process.wait(timeout=15) != 0:
                    sys.exit(
                        f"durabletask-sidecar ended with {process.returncode}\n{log.read_text()}"
                    )


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
