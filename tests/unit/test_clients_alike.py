"""The synchronous and the asyncio client, call by call: the same names, parameters, documentation and bytes."""

from __future__ import annotations

import asyncio
import inspect
import re
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import pytest

from durabletask.aio.client import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationStatus, TaskHubGrpcClient

from support.fake_sidecar import FakeSidecar

RENAMED = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__"}
SYNC = {
    RENAMED.get(name, name): member
    for name, member in vars(TaskHubGrpcClient).items()
    if inspect.isfunction(member)
}
AIO = {
    name: member
    for name, member in vars(AsyncTaskHubGrpcClient).items()
    if inspect.isfunction(member)
}
PUBLIC = sorted(name for name in SYNC if not name.startswith("_"))

# What is given for each parameter that has no default.
ARGUMENTS: dict[str, Any] = {
    "orchestrator": "name",
    "instance_id": "id",
    "event_name": "event",
    "event_id": 1,
}
# Those with a default are given, too, one call after the other.
OPTIONS: dict[str, Any] = {
    "input": [1],
    "start_at": datetime(2026, 1, 1),
    "data": {"a": 1},
    "output": "x",
    "recursive": False,
    "force": True,
    "fetch_payloads": True,
    "page_size": 3,
    "continuation_token": "next",
    "new_instance_id": "new",
    "overwrite_input": True,
    "new_child_instance_id": "child",
    "timeout": 20.0,
    "app_id": "other",
    "status": [OrchestrationStatus.FAILED, OrchestrationStatus.COMPLETED],
    "name": "name",
    "created_from": datetime(2026, 1, 2),
    "created_to": datetime(2026, 1, 3, tzinfo=timezone.utc),
    "updated_from": datetime(2026, 1, 4),
    "updated_to": datetime(2026, 1, 5),
    "instance_id_prefix": "order-",
    "roots_only": True,
}


def test_both_have_the_same_methods() -> None:
    assert SYNC.keys() == {name for name in AIO if name in SYNC or not name.startswith("_")}


@pytest.mark.parametrize("name", PUBLIC)
def test_parameters_and_documentation_are_the_same(name: str) -> None:
    ours, theirs = inspect.signature(SYNC[name]), inspect.signature(AIO[name])
    assert ours.parameters == theirs.parameters
    assert ours.return_annotation == theirs.return_annotation
    assert inspect.getdoc(SYNC[name]) == inspect.getdoc(AIO[name])
    assert inspect.iscoroutinefunction(AIO[name])


def test_they_are_made_with_the_same_arguments() -> None:
    ours, theirs = (
        inspect.signature(each.__init__) for each in (TaskHubGrpcClient, AsyncTaskHubGrpcClient)
    )
    assert list(ours.parameters) == list(theirs.parameters)
    assert [each.default for each in ours.parameters.values()] == [
        each.default for each in theirs.parameters.values()
    ]


def sent_by(call: Any) -> list[tuple[str, bytes]]:
    """What a call sends, to which it is answered that there is nothing."""
    sent: list[tuple[str, bytes]] = []

    def note(method: str) -> Any:
        def handle(request: bytes, context: Any) -> bytes:
            sent.append((method, request))
            return b""

        return handle

    with FakeSidecar() as sidecar:
        for method in METHODS:
            sidecar.handlers[method] = note(method)
        call(sidecar.address)
    # Ids are random; so are those of spans, where another test of this process has set tracing up.
    return [
        (method, re.sub(rb"[0-9a-f]{32}(-[0-9a-f]{16}-0[0-9])?", b"<id>", request))
        for method, request in sent
    ]


METHODS = (
    *("StartInstance", "GetInstance", "WaitForInstanceStart", "WaitForInstanceCompletion"),
    *("RaiseEvent", "TerminateInstance", "SuspendInstance", "ResumeInstance", "PurgeInstances"),
    *("RerunWorkflowFromEvent", "ListInstanceIDs", "GetInstanceHistory"),
    *("ListInstances",),
)


@pytest.mark.parametrize("name", [name for name in PUBLIC if name != "aclose"])
def test_both_send_the_same(name: str) -> None:
    parameters = list(inspect.signature(SYNC[name]).parameters.values())[1:]
    needed = [ARGUMENTS[each.name] for each in parameters if each.default is each.empty]
    named = {each.name: OPTIONS[each.name] for each in parameters if each.name in OPTIONS}

    def sync(address: str) -> None:
        with TaskHubGrpcClient(host_address=address) as client:
            for options in ({}, named):
                with suppress(ValueError):  # there is nothing to start again
                    getattr(client, name)(*needed, **options)

    async def aio(address: str) -> None:
        async with AsyncTaskHubGrpcClient(host_address=address) as client:
            for options in ({}, named):
                with suppress(ValueError):
                    await getattr(client, name)(*needed, **options)

    ours = sent_by(sync)
    assert len(ours) >= 2, "nothing was sent: is the method in METHODS?"
    assert sent_by(lambda address: asyncio.run(aio(address))) == ours
