"""The worker on a sidecar that breaks off, falls silent, goes away, or does not take what it is given."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from durabletask.worker import ConcurrencyOptions, TaskHubGrpcWorker

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


@pytest.fixture(params=["native", "grpcio"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def make_worker(sidecar: FakeSidecar, transport: Any) -> Iterator[Callable[..., TaskHubGrpcWorker]]:
    made: list[TaskHubGrpcWorker] = []

    def make(*activities: Callable[..., Any], **options: Any) -> TaskHubGrpcWorker:
        worker = TaskHubGrpcWorker(
            host_address=sidecar.address,
            log_handler=logging.NullHandler(),
            **{"keepalive_interval": 0, "stop_timeout": SOON, "transport": transport, **options},
        )
        for activity in (echo, *activities):
            worker.add_activity(activity)
        worker.add_orchestrator(orchestrate)
        made.append(worker)
        return worker

    yield make
    for worker in made:
        worker.stop()


def assert_echoes(sidecar: FakeSidecar, token: str) -> None:
    sidecar.send(activity_item("echo", "7", token=token))
    method, response = sidecar.completion()
    assert method == "CompleteActivityTask"
    assert wire.string(response, 3, 1) == "7"
    assert wire.string(response, 5) == token


MakeWorker = Callable[..., TaskHubGrpcWorker]


def test_a_worker_announces_its_limits(sidecar: FakeSidecar, make_worker: MakeWorker) -> None:
    make_worker(concurrency_options=ConcurrencyOptions(3, 4)).start()
    sidecar.wait_for_streams(1)
    assert wire.fields(sidecar.stream_requests[0]) == {1: [4], 2: [3], 4: [b"\x02\x03"]}


def test_a_worker_without_a_replay_cache_asks_for_whole_histories(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    make_worker(concurrency_options=ConcurrencyOptions(3, 4), replay_cache=None).start()
    sidecar.wait_for_streams(1)
    assert wire.fields(sidecar.stream_requests[0]) == {1: [4], 2: [3], 4: [b"\x03"]}


def test_a_health_ping_is_read_and_needs_no_answer(
    sidecar: FakeSidecar, make_worker: MakeWorker, capfd: pytest.CaptureFixture[str]
) -> None:
    make_worker().start()
    sidecar.send(wire.message((6, b""), (10, "token")))
    assert_echoes(sidecar, "after")
    assert sidecar.completions.empty()
    assert "Dropped" not in capfd.readouterr().err


def test_metadata_goes_with_the_stream_and_the_results(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    make_worker(metadata=[("dapr-api-token", "secret")]).start()
    assert_echoes(sidecar, "t")
    assert all(each["dapr-api-token"] == "secret" for each in sidecar.metadata)


def test_a_worker_opens_another_stream_when_one_ends(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    worker = make_worker()
    worker.start()
    for count in (1, 2, 3):
        sidecar.wait_for_streams(count)
        assert_echoes(sidecar, f"t{count}")
        sidecar.end_stream()
    sidecar.wait_for_streams(4)


def test_a_worker_comes_back_when_the_sidecar_does_and_says_so_once(
    sidecar: FakeSidecar, make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    worker = make_worker()
    worker.start()
    sidecar.wait_for_streams(1)
    sidecar.stop()
    deadline = time.monotonic() + SOON
    while worker.is_worker_ready():
        assert time.monotonic() < deadline, "the worker does not notice that the sidecar is gone"
        time.sleep(0.01)
    threading.Event().wait(1.0)  # several attempts go by
    sidecar.start()
    sidecar.wait_for_streams(2)
    assert_echoes(sidecar, "t")
    lines = [record.getMessage() for record in caplog.records if "durabletask" in record.name]
    assert len([line for line in lines if line.startswith("Connected to")]) == 2
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 <= len(warnings) <= 2, [record.getMessage() for record in warnings]
    assert all("trying again until it answers" in record.getMessage() for record in warnings)


def test_a_stream_that_dies_in_silence_is_noticed_by_hello(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    make_worker(keepalive_interval=0.1).start()
    sidecar.wait_for_streams(1)
    sidecar.silent.set()
    deadline = time.monotonic() + SOON
    while sidecar.hellos < 3:
        assert time.monotonic() < deadline, "the worker does not say Hello"
        time.sleep(0.01)
    threading.Timer(2.5, sidecar.silent.clear).start()
    sidecar.wait_for_streams(2)


def test_a_result_is_reported_again_when_the_sidecar_was_unavailable(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    calls = 0

    def busy(request: bytes, context: grpc.ServicerContext) -> bytes:
        nonlocal calls
        calls += 1
        if calls < 3:
            context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
        sidecar.completions.put(("CompleteActivityTask", request))
        return b""

    sidecar.handlers["CompleteActivityTask"] = busy
    make_worker().start()
    assert_echoes(sidecar, "t")
    assert calls == 3


def test_a_result_that_the_sidecar_refuses_is_dropped(
    sidecar: FakeSidecar, make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    calls = 0

    def refuse_first(request: bytes, context: grpc.ServicerContext) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            context.abort(grpc.StatusCode.UNKNOWN, "unknown instance ID/task ID combo")
        sidecar.completions.put(("CompleteActivityTask", request))
        return b""

    sidecar.handlers["CompleteActivityTask"] = refuse_first
    make_worker(concurrency_options=ConcurrencyOptions(1, 1, 1)).start()
    sidecar.send(activity_item("echo", "1"))
    assert_echoes(sidecar, "t")
    assert calls == 2
    assert "The sidecar refused the result of activity 'echo#1' of 'instance'" in caplog.text


def test_a_result_that_a_full_disk_refuses_is_handed_in_again(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    """RESOURCE_EXHAUSTED also says that a result is too large; a RetryInfo tells the two apart."""
    retry_info = wire.message((1, "type.googleapis.com/google.rpc.RetryInfo"), (2, b""))
    details = wire.message((1, 8), (2, "no room"), (3, retry_info))
    calls = 0

    def refuse_twice(request: bytes, context: grpc.ServicerContext) -> bytes:
        nonlocal calls
        calls += 1
        if calls <= 2:
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "no room")
        sidecar.completions.put(("CompleteActivityTask", request))
        return b""

    sidecar.handlers["CompleteActivityTask"] = refuse_twice
    make_worker().start()
    sidecar.send(activity_item("echo", "1", token="t"))
    _, response = sidecar.completion()
    assert wire.string(response, 3, 1) == "1"
    assert calls == 3


@pytest.mark.parametrize("kind", ["activity", "orchestrator"])
def test_a_result_too_large_for_the_channel_becomes_a_failure_that_says_so(
    kind: str, transport: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def big(ctx: Any, _: Any) -> str:
        return "x" * 200_000

    with (
        FakeSidecar(**{"grpc.max_receive_message_length": 100_000}) as sidecar,
        TaskHubGrpcWorker(
            host_address=sidecar.address, log_handler=logging.NullHandler(), transport=transport
        ) as worker,
    ):
        worker.add_activity(big)
        worker.add_orchestrator(big)
        worker.start()
        make = activity_item if kind == "activity" else orchestrator_item
        sidecar.send(make("big", token="t"))
        method, response = sidecar.completion()
        if kind == "activity":
            assert method == "CompleteActivityTask"
            message = wire.string(response, 4, 2)
        else:
            assert method == "CompleteOrchestratorTask"
            assert wire.number(response, 2, 6, 1) == 3
            message = wire.string(response, 2, 6, 6, 2)
        assert message is not None
        assert "too large for the channel" in message
        assert "RESOURCE_EXHAUSTED" in message
        assert wire.string(response, 5 if kind == "activity" else 4) == "t"
    (record,) = [each for each in caplog.records if "too large for" in each.message]
    found = {name: getattr(record, name, None) for name in ("instance_id", "activity", "task_id")}
    assert found == (
        {"instance_id": "instance", "activity": "big", "task_id": 1}
        if kind == "activity"
        else {"instance_id": "instance", "activity": None, "task_id": None}
    )


def test_work_items_and_results_of_any_size_pass(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    make_worker().start()
    payload = '"' + "x" * (9 * 1024 * 1024) + '"'
    sidecar.send(activity_item("echo", payload))
    _, response = sidecar.completion()
    assert wire.string(response, 3, 1) == payload


def test_malformed_work_items_are_answered_and_the_worker_goes_on(
    sidecar: FakeSidecar, make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    make_worker().start()
    broken = wire.message((1, "echo"), (4, wire.message((1, "id"))), (5, 9)) + b"\x1a\x7f"
    sidecar.send(wire.message((10, "t1"), (2, broken)))
    method, response = sidecar.completion()
    assert method == "CompleteActivityTask"
    assert (wire.string(response, 1), wire.number(response, 2)) == ("id", 9)
    assert "The work item is malformed: ActivityRequest: the message ends inside a field" in (
        wire.string(response, 4, 2) or ""
    )

    sidecar.send(wire.message((10, "t2"), (1, wire.message((1, "id")) + b"\x12\x7f")))
    method, response = sidecar.completion()
    assert method == "CompleteOrchestratorTask"
    assert (wire.string(response, 1), wire.string(response, 4)) == ("id", "t2")
    assert wire.number(response, 2, 1) == -1
    assert "OrchestratorRequest: the message ends inside a field" in (
        wire.string(response, 2, 6, 6, 2) or ""
    )

    sidecar.send(b"\xff\xff\xff")
    sidecar.send(wire.message((4, b"")))
    assert_echoes(sidecar, "t3")
    assert "Dropped a work item of 3 bytes that cannot be answered" in caplog.text


def test_an_orchestration_whose_events_are_malformed_fails_under_its_id(
    sidecar: FakeSidecar, make_worker: MakeWorker
) -> None:
    make_worker().start()
    request = wire.message((1, "id"), (4, b"\x12\x7f"))
    sidecar.send(wire.message((1, request), (10, "t")))
    method, response = sidecar.completion()
    assert method == "CompleteOrchestratorTask"
    assert wire.string(response, 1) == "id"
    assert wire.string(response, 4) == "t"
    assert wire.number(response, 2, 1) == -1
    assert wire.number(response, 2, 6, 1) == 3


def test_a_sidecar_that_takes_a_worker_and_drops_it_again_is_reported_once(
    sidecar: FakeSidecar, make_worker: MakeWorker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    make_worker().start()
    for count in (1, 2, 3):
        sidecar.wait_for_streams(count)
        sidecar.end_stream()
    sidecar.wait_for_streams(4)
    lines = [record.getMessage() for record in caplog.records]
    assert len([line for line in lines if "the sidecar ended the stream" in line]) == 1
    assert len([line for line in lines if line.startswith("Connected to")]) == 2
