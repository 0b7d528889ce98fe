"""The benches do what they say: histories are replayed to their end, live turns are live, counts are judged.

Nothing is measured here: a bench that has stopped working would be noticed only when somebody needs its numbers.
"""

from __future__ import annotations

import json
import platform
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

import contestant
import instructions
import sidecar_load
import warm
from peers import completed_with
from replay import spread
from report import growth_exponent
from workloads import WORKLOADS


@pytest.mark.parametrize("steps", [1, 7, 50])
@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_is_replayed_to_its_end(name: str, steps: int) -> None:
    workload = WORKLOADS[name]
    execute = contestant.make("ours", name, steps)
    response = execute(workload.request("dapr", steps))
    assert (workload.found or completed_with)(response) == workload.result(steps)


def test_as_many_measurements_count_for_each_contestant() -> None:
    assert spread(list(range(10)), 5) == [0, 2, 4, 6, 8]
    assert spread([3, 1, 2], 3) == [3, 1, 2]


def test_turns_of_live_orchestrators_are_warm_and_get_ahead(tmp_path: Path) -> None:
    series = []
    for kind in warm.KINDS:
        path = tmp_path / kind
        warm.write_requests(path, warm.requests(kind, 3, 5))
        series.append({"kind": kind, "steps": 3, "path": str(path)})
    # It checks that itself, and would measure something else otherwise.
    found = warm.time_turns({"series": series})
    assert found["delta_3_bytes"] < found["whole_3_bytes"] == found["cold_3_bytes"]


def test_the_growth_exponent_tells_linear_from_quadratic() -> None:
    def grown(power: int) -> float | None:
        results: list[dict[str, Any]] = [
            {"workload": "w", "steps": steps, "ours_ms": float(steps**power)}
            for steps in (100, 1_000, 10_000)
        ]
        return growth_exponent(results, "w")

    assert (grown(1), grown(2)) == (1.0, 2.0)


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, float]:
    """The instructions that the engine takes, as far as `check` can tell; it records them in a file of this test's."""
    counts = {"chain": 1_000.0, "retries": 1_000.0}
    monkeypatch.setattr(instructions, "ROOT", tmp_path)
    monkeypatch.setattr(instructions, "RECORDED", tmp_path / "results" / "instructions.json")
    monkeypatch.setattr(instructions, "count_core", lambda: dict(counts))
    monkeypatch.setattr(instructions, "run", lambda *_, **__: "rustc 1.0")
    monkeypatch.setattr(shutil, "which", lambda _: "valgrind")
    instructions.check(["core"], Path(sys.executable), accept=True)
    return counts


def test_a_tenth_more_instructions_than_recorded_is_too_many(
    counting: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    counting["retries"] = 1_099.0
    instructions.check(["core"], Path(sys.executable), accept=False)
    counting["retries"] = 1_101.0
    with pytest.raises(instructions.CountError, match=r"retries \(\+10\.1%\).*ACCEPT=1"):
        instructions.check(["core"], Path(sys.executable), accept=False)
    assert "chain" in capsys.readouterr().out


def test_fewer_instructions_are_said_to_be_worth_recording(
    counting: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    counting["chain"] = 700.0
    instructions.check(["core"], Path(sys.executable), accept=False)
    assert "below what is recorded: chain (-30.0%)" in capsys.readouterr().out


def test_more_instructions_can_be_accepted(counting: dict[str, float]) -> None:
    counting["chain"] = 2_000.0
    instructions.check(["core"], Path(sys.executable), accept=True)
    instructions.check(["core"], Path(sys.executable), accept=False)


def test_counts_of_another_architecture_are_no_measure(
    counting: dict[str, float], capsys: pytest.CaptureFixture[str]
) -> None:
    recorded = json.loads(instructions.RECORDED.read_text())
    assert recorded["architecture"] == platform.machine()
    instructions.RECORDED.write_text(json.dumps({**recorded, "architecture": "another"}))
    counting["chain"] = 9_000.0
    instructions.check(["core"], Path(sys.executable), accept=False)
    assert "Nothing is recorded to compare with" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [([], ["core", "python"]), (["core"], ["core"]), (["python", "--accept"], ["python"])],
)
def test_both_parts_are_counted_unless_one_is_named(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], parts: list[str]
) -> None:
    checked = []
    monkeypatch.setattr(
        instructions, "check", lambda parts, *_, accept: checked.append((parts, accept))
    )
    monkeypatch.setattr(sys, "argv", ["instructions.py", *arguments])
    instructions.main()
    assert checked == [(parts, "--accept" in arguments)]


def test_without_valgrind_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(instructions.CountError, match="apt-get install valgrind"):
        instructions.check(["core"], Path(sys.executable), accept=False)


def test_the_table_of_sidecars_says_what_is_faster_and_what_was_not_done() -> None:
    row = {
        "per_s": 300.0,
        "latency_p50_ms": 2.0,
        "latency_p99_ms": None,
        "cpu_us_per_step": 31.5,
        "peak_mb": 20.0,
    }
    found = {
        "other": "peer",
        "processors": 2,
        "timeout_s": 60.0,
        "sidecars": ["memory", "other memory"],
        "loads": {
            "a chain": {"memory": row, "other memory": {**row, "per_s": 30.0}},
            "many": {"memory": row},
        },
        "growth": [],
    }
    lines = sidecar_load.report(found).splitlines()
    assert "| a chain | memory | 300 | 2.00 |  | 31.50 | 20.00 | 10.0 |" in lines
    assert "| many | peer memory | not done in 60 s | | | | | |" in lines
