"""Workers on Dapr's own engine and on this one take over from each other, and serve one app side by side."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from durabletask.client import TaskHubGrpcClient

from support.command import sidecar_command
from support.dapr_sdk import VERSIONS, environment, sdk_python

HERE = Path(__file__).resolve().parent
LEGS = 4


class Worker:
    def __init__(self, version: str, address: str, arguments: list[str]) -> None:
        self._process = subprocess.Popen(
            [sdk_python(version), *arguments, str(HERE / "relay.py"), address],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def switch(self, to: str) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{to}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline().strip() == to, "the worker has ended"

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextlib.contextmanager
def workers(version: str) -> Iterator[tuple[TaskHubGrpcClient, list[Worker]]]:
    with sidecar_command() as address, TaskHubGrpcClient(host_address=address) as client:
        pair = [Worker(version, address, given) for given in ([], ["-m", "durabletask.dapr"])]
        try:
            yield client, pair
        finally:
            for each in pair:
                each.end()


def expected(legs: int) -> list[Any]:
    seen = [[leg, leg + 2, leg * 2, "done", True, True] for leg in range(legs)]
    return [[[legs, 0], [5 + legs, 5]], seen, "None"]


def stands_before(client: TaskHubGrpcClient, instance_id: str, leg: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        state = client.get_orchestration_state(instance_id)
        if state is not None and state.serialized_custom_status == f"before {leg}":
            return
        time.sleep(0.01)
    pytest.fail(f"{instance_id} does not come to leg {leg}: {state}")


def result(client: TaskHubGrpcClient, instance_id: str) -> Any:
    state = client.wait_for_orchestration_completion(instance_id, timeout=30)
    assert state is not None
    state.raise_if_failed()
    return json.loads(state.serialized_output or "null")


@pytest.mark.parametrize("first", [0, 1], ids=["begun by Dapr's", "begun by this one"])
@pytest.mark.parametrize("version", VERSIONS)
def test_each_engine_goes_on_where_the_other_one_stood(version: str, first: int) -> None:
    with workers(version) as (client, pair):
        pair[first].switch("on")
        instance_id = client.schedule_new_orchestration("relay", input=LEGS)
        for leg in range(LEGS):
            stands_before(client, instance_id, leg)
            pair[(first + leg) % 2].switch("off")
            pair[(first + leg + 1) % 2].switch("on")
            client.raise_orchestration_event(instance_id, "go", data=leg)
        assert result(client, instance_id) == expected(LEGS)


@pytest.mark.parametrize("version", VERSIONS)
def test_both_engines_serve_one_app_at_a_time(version: str) -> None:
    with workers(version) as (client, pair):
        for each in pair:
            each.switch("on")
        instance_ids = [client.schedule_new_orchestration("relay", input=LEGS) for _ in range(20)]
        for leg in range(LEGS):
            for instance_id in instance_ids:
                client.raise_orchestration_event(instance_id, "go", data=leg)
        for instance_id in instance_ids:
            assert result(client, instance_id) == expected(LEGS)
