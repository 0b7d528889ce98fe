"""The programs that the README shows do what it says of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from durabletask.sidecar import Sidecar

README = Path(__file__).resolve().parents[2] / "README.md"


def program(file_name: str) -> str:
    """Return the first Python block after the mention of a file in the README."""
    _, _, after = README.read_text().partition(f"`{file_name}`")
    block = re.search(r"^```python\n(.*?)^```$", after, re.DOTALL | re.MULTILINE)
    assert block, f"README.md shows no program {file_name}"
    return block[1]


def test_the_worker_and_the_client_greet_a_city(tmp_path: Path) -> None:
    for name in ("worker.py", "client.py"):
        (tmp_path / name).write_text(program(name))
    with Sidecar() as sidecar:
        variables = {**os.environ, "DAPR_GRPC_ENDPOINT": sidecar.address}
        with subprocess.Popen([sys.executable, "worker.py"], cwd=tmp_path, env=variables) as worker:
            client = subprocess.run(
                [sys.executable, "client.py"],
                cwd=tmp_path,
                env=variables,
                capture_output=True,
                text=True,
                timeout=60,
            )
            worker.terminate()
            worker.wait(timeout=60)
    assert client.stdout.strip() == '"Hello Tokyo!"', client.stderr
    assert worker.returncode == 0


def test_the_worker_has_ten_lines() -> None:
    assert len([line for line in program("worker.py").splitlines() if line]) == 10
