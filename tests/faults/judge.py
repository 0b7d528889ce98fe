"""What became of the instances of a run of faults: lost, stuck, wrong, or done with all effects; why some repeat."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from durabletask.client import OrchestrationState, OrchestrationStatus

from faults.kinds import Kind


@dataclass(frozen=True)
class Fault:
    """What was done to a process, or to the disk, and when it began and was over."""

    what: str
    pid: int | None
    began: float
    ended: float


Run = tuple[int, float]
"""The process that an activity ran in, and when."""


def reason(one: Run, next_: Run, faults: list[Fault]) -> str | None:
    """The fault that the result of one run can have been lost by, so that there had to be another."""
    pid, ran = one
    for fault in faults:
        if fault.began > next_[1] or fault.ended < ran:
            continue
        if fault.what in ("sidecar killed", "disk full") or fault.pid == pid:
            return fault.what
    return None


def runs_of(path: Path) -> list[Run]:
    """What an effect's file says, in the order of time."""
    if not path.exists():
        return []
    lines = (line.split() for line in path.read_text().splitlines())
    return sorted(((int(pid), float(ran)) for pid, ran in lines), key=lambda run: run[1])


def judge(
    instances: dict[str, tuple[Kind, int]],
    states: dict[str, OrchestrationState | None],
    effects: Path,
    faults: list[Fault],
) -> dict[str, Any]:
    """What became of the instances and of their effects."""
    lost: list[str] = []
    stuck: list[str] = []
    wrong: list[str] = []
    unexplained: list[str] = []
    repeated: Counter[str] = Counter()
    activities = 0
    for instance_id, state in states.items():
        kind, number = instances[instance_id]
        if state is None:
            lost.append(instance_id)
        elif state.runtime_status is OrchestrationStatus.RUNNING:
            stuck.append(instance_id)
        elif state.serialized_output != json.dumps(kind.result(number)):
            wrong.append(f"{instance_id}: {state.runtime_status} {state.serialized_output}")
    nobodys = {path.name for path in effects.iterdir()}
    for instance_id, (kind, _) in instances.items():
        for name, least in kind.effect_files(instance_id).items():
            nobodys.discard(name)
            runs = runs_of(effects / name)
            if len(runs) < least:
                lost.append(f"{name}: {len(runs)} of {least}")
            activities += len(runs)
            reasons = [reason(one, two, faults) for one, two in itertools.pairwise(runs)]
            known = [each for each in reasons if each is not None][: max(len(runs) - least, 0)]
            repeated.update(known)
            if len(known) < len(runs) - least:
                unexplained.append(f"{name}: {runs}")
    wrong += [f"an effect of nobody: {name}" for name in sorted(nobodys)]
    return {
        "instances": len(instances),
        "activities_run": activities,
        "repeated": dict(repeated),
        "repeated_without_reason": unexplained,
        "lost": lost,
        "stuck": stuck,
        "wrong": wrong,
    }


def failed(found: dict[str, Any]) -> bool:
    """Whether something is not as it must be."""
    return any(
        found[name] for name in ("lost", "stuck", "wrong", "repeated_without_reason", "died")
    )
