"""The bench from end to end still runs, on the embedded sidecar and without the reference, and refuses in one line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "benches" / "end_to_end.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCH), "--python", sys.executable, "--no-reference", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


def test_a_small_run_measures_chain_throughput_and_growth() -> None:
    sizes = ["--steps=10", "--longest=20", "--instances=4", "--length=2", "--concurrency=2"]
    done = run(*sizes, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    for measured, turns in ((found["chain"]["ours"], 11), (found["many"]["ours"], 12)):
        assert measured["turns"] == turns, "a turn for the start, and one for each activity's end"
        assert measured["wall_s"] > 0
        assert measured["worker_cpu_s"] >= measured["replay_cpu_s"] > 0
    assert found["many"]["ours"]["orchestrations_per_s"] > 0
    assert found["growth"]["steps"] == [10, 20]
    assert found["growth"]["wall_s"]["times"] > 0


def test_a_sidecar_that_does_not_start_is_said_with_its_own_words() -> None:
    sidecar = f"{sys.executable} -m durabletask.sidecar --port {{port}} --wrong"
    done = run("--steps=1", "--sidecar-command", sidecar)
    assert done.returncode == 1
    assert "ended with exit code 1" in done.stderr
    assert "unexpected argument '--wrong'" in done.stderr
    assert "Traceback" not in done.stderr
