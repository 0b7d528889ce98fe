"""Workers with `on_mismatch="stall"`: what they say of themselves, and what they leave unanswered."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from durabletask._worker import unanswered
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from support import wire
from support.fake_sidecar import FakeSidecar, activity_item, orchestrator_item

SOON = 20.0


def echo(ctx: Any, value: Any) -> Any:
    return value


def orchestrate(ctx: Any, _: Any) -> str:
    return "done"


@pytest.fixture
def sidecar() -> Iterator[FakeSidecar]:
    with FakeSidecar() as sidecar:
        yield sidecar


@pytest.fixture
def worker(sidecar: FakeSidecar) -> Iterator[TaskHubGrpcWorker]:
    with TaskHubGrpcWorker(
        host_address=sidecar.address,
        log_handler=logging.NullHandler(),
        on_mismatch="stall",
        # What is left unanswered is looked at as often as this is.
        replay_cache=ReplayCacheOptions(idle_timeout=0.2),
        metadata=[("dapr-api-token", "secret")],
    ) as worker:
        worker.add_activity(echo)
        worker.add_activity(echo, name="again")
        worker.add_orchestrator(orchestrate)
        worker.add_orchestrator(orchestrate, name="order", version="v2", is_latest=True)
        worker.add_orchestrator(orchestrate, name="order", version="v1")
        yield worker


def only_go_knows(request: bytes, context: grpc.ServicerContext) -> bytes:
    context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service dapr.proto.runtime.v1.Dapr")


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno == logging.ERROR]


def wait_for_errors(caplog: pytest.LogCaptureFixture, count: int) -> None:
    deadline = time.monotonic() + SOON
    while len(errors(caplog)) < count:
        assert time.monotonic() < deadline, f"not {count} errors: {caplog.text}"
        time.sleep(0.005)


def test_on_mismatch_is_fail_or_stall() -> None:
    with pytest.raises(ValueError, match="on_mismatch must be"):
        TaskHubGrpcWorker(on_mismatch="ignore")  # type: ignore[arg-type]


def test_a_worker_that_stalls_says_what_it_has(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker
) -> None:
    worker.start()
    sidecar.wait_for_streams(1)
    (metadata,) = sidecar.stream_metadata
    assert json.loads(metadata["durabletask-orchestrators-bin"]) == [
        "orchestrate",
        ["order", "v1"],
        ["order", "v2"],
    ]
    assert json.loads(metadata["durabletask-activities-bin"]) == ["again", "echo"]
    assert metadata["dapr-api-token"] == "secret"


def test_others_say_nothing(sidecar: FakeSidecar) -> None:
    with TaskHubGrpcWorker(
        host_address=sidecar.address, log_handler=logging.NullHandler()
    ) as worker:
        worker.add_activity(echo)
        worker.start()
        sidecar.wait_for_streams(1)
    assert not [key for key in sidecar.stream_metadata[0] if key.startswith("durabletask-")]


def test_more_names_than_headers_hold_are_not_told(sidecar: FakeSidecar) -> None:
    with TaskHubGrpcWorker(
        host_address=sidecar.address, log_handler=logging.NullHandler(), on_mismatch="stall"
    ) as worker:
        for number in range(2000):
            worker.add_activity(echo, name=f"activity number {number}")
        worker.start()
        sidecar.wait_for_streams(1)
        sidecar.send(activity_item("activity number 7", "7"))
        assert wire.string(sidecar.completion()[1], 3, 1) == "7"
    assert not [key for key in sidecar.stream_metadata[0] if key.startswith("durabletask-")]


def test_an_orchestrator_that_is_not_registered_stalls(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.start()
    for token in ("one", "two"):
        sidecar.send(orchestrator_item("missing", token=token))
        method, response = sidecar.completion()
        assert method == "CompleteOrchestratorTask"
        assert wire.string(response, 1) == "instance"
        assert wire.string(response, 4) == token
        assert wire.get(response, 2, 6) is None, "it is not completed"
    (line,) = errors(caplog)
    assert "'instance' stalls" in line
    assert "'missing'" in line
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.instance_id == "instance"  # type: ignore[attr-defined]
    assert record.orchestration == "missing"  # type: ignore[attr-defined]


def test_where_a_stall_would_never_end_the_turn_is_left_unanswered_and_asked_for_again(
    sidecar: FakeSidecar,
    worker: TaskHubGrpcWorker,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(unanswered, "_FIRST_PAUSE", 0.1)
    sidecar.handlers["GetMetadata"] = only_go_knows
    worker.start()
    sidecar.send(orchestrator_item("missing"))
    wait_for_errors(caplog, 1)
    sidecar.wait_for_streams(2)  # the first one was given up
    sidecar.send(orchestrator_item("missing"))
    sidecar.wait_for_streams(3)
    assert sidecar.completions.empty()
    assert len(errors(caplog)) == 1


def test_an_activity_that_is_not_registered_is_left_to_others(
    sidecar: FakeSidecar, worker: TaskHubGrpcWorker, caplog: pytest.LogCaptureFixture
) -> None:
    worker.start()
    sidecar.send(activity_item("missing"))
    wait_for_errors(caplog, 1)
    assert "'instance' waits for the activity 'missing'" in errors(caplog)[0]
    sidecar.wait_for_streams(2)
    sidecar.send(activity_item("echo", "7"))
    assert wire.string(sidecar.completion()[1], 3, 1) == "7"
    assert sidecar.completions.empty()
