"""durabletask-dapr 0.17.4 in a process of its own, to be asked for its answers to turns."""

from __future__ import annotations

import os
import pickle
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

from support.environments import COMPAT, interpreter

HERE = Path(__file__).resolve().parent
Question = tuple[str, bytes, "list[str] | None"]
Answer = tuple["bytes | None", list[str]]


class Reference:
    """Use as a context manager: the process ends with the block.

    `command` starts another reference that speaks as `peer.py` does.
    """

    def __init__(
        self, command: list[str] | None = None, environment: dict[str, str] | None = None
    ) -> None:
        if command is None:
            python = interpreter(COMPAT)
            if not Path(python).exists():
                raise FileNotFoundError(f"{python} does not exist: `make test-parity` sets it up")
            command = [python, str(HERE / "peer.py")]
        if environment is None:
            environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )

    def __enter__(self) -> Reference:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.stdout.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, questions: list[Question]) -> None:
        """Send turns; `answers` waits for what it says. It computes meanwhile."""
        assert self._process.stdin
        pickle.dump(questions, self._process.stdin)
        self._process.stdin.flush()

    def answers(self) -> list[Answer]:
        assert self._process.stdout
        try:
            answers: list[Answer] = pickle.load(self._process.stdout)
        except EOFError:
            code = self._process.wait()
            raise RuntimeError(
                f"the process of the reference ended with {code}; see its output"
            ) from None
        return answers

    def execute(self, program: str, request: bytes, kinds: Any = None) -> Answer:
        """One turn, with corrections of 0.17.4 (kinds of deviations) or without (None)."""
        self.ask([(program, request, None if kinds is None else sorted(kinds))])
        return self.answers()[0]


__all__ = ["Answer", "Question", "Reference"]
