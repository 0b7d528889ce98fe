"""What is run as `dapr.ext.workflow._durabletask.aio.client`: the asyncio client, with the methods of Dapr's SDK."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from durabletask import _core
from durabletask._tracing import TraceContext
from durabletask.aio import client as _client
from durabletask.dapr import _interceptors, _messages

__all__ = [
    "AsyncTaskHubGrpcClient",
    "OrchestrationStatus",
    "WorkflowIdReusePolicy",
    "WorkflowState",
    "new_orchestration_state",
]

_sync: Any = importlib.import_module("dapr.ext.workflow._durabletask.client")
OrchestrationStatus = _sync.OrchestrationStatus
WorkflowIdReusePolicy = _sync.WorkflowIdReusePolicy
WorkflowState = _sync.WorkflowState
new_orchestration_state = _sync.new_orchestration_state


class AsyncTaskHubGrpcClient(_client.AsyncTaskHubGrpcClient):
    """The client for asyncio, as Dapr's SDK uses one."""

    def __init__(
        self,
        *,
        host_address: str | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
        log_handler: logging.Handler | None = None,
        log_formatter: logging.Formatter | None = None,
        secure_channel: bool = False,
        interceptors: Sequence[Any] | None = None,
        channel_options: Sequence[tuple[str, Any]] | None = None,
    ):
        """Prepare a client; the arguments are those of `durabletask.aio.client.AsyncTaskHubGrpcClient`."""
        installed, self._with_deadline = _interceptors.adapted(interceptors)
        super().__init__(
            host_address=host_address,
            metadata=metadata,
            log_handler=log_handler,
            log_formatter=log_formatter,
            secure_channel=secure_channel,
            interceptors=installed,
            channel_options=channel_options,
        )

    async def _call(
        self,
        method: str,
        request: bytes,
        timeout: float | None = None,
        trace: TraceContext | None = None,
    ) -> bytes:
        if self._with_deadline:
            timeout = _interceptors.deadline(timeout)
        return await super()._call(method, request, timeout, trace)

    async def schedule_new_orchestration(  # type: ignore[override]
        self,
        orchestrator: Any,
        *,
        input: Any = None,  # noqa: A002
        instance_id: str | None = None,
        start_at: datetime | None = None,
        reuse_id_policy: Any = None,
        app_id: str | None = None,
    ) -> str:
        """Start a workflow; `reuse_id_policy` has no effect, as with Dapr's own engine."""
        return await super().schedule_new_orchestration(
            orchestrator, input=input, instance_id=instance_id, start_at=start_at, app_id=app_id
        )

    async def list_instance_ids(
        self, *, page_size: int | None = None, continuation_token: str | None = None
    ) -> Any:
        """A page of ids, as a `ListInstanceIDsResponse`."""
        size = _messages.checked_page_size(page_size)
        request = _core.encode_list_instance_ids_request(continuation_token, size)
        response = await self._call("ListInstanceIDs", request)
        return _messages.protos().ListInstanceIDsResponse.FromString(response)

    async def get_instance_history(self, instance_id: str) -> list[Any]:
        """The history of a workflow, as `HistoryEvent` messages."""
        request = _core.encode_get_instance_history_request(instance_id)
        response = await self._call("GetInstanceHistory", request)
        return list(_messages.protos().GetInstanceHistoryResponse.FromString(response).events)

    async def rerun_orchestration_from_event(
        self,
        instance_id: str,
        event_id: int,
        *,
        new_instance_id: str | None = None,
        input: Any = None,  # noqa: A002
        overwrite_input: bool = False,
        new_child_instance_id: str | None = None,
        app_id: str | None = None,
    ) -> str:
        """Run a copy of a workflow from one of its calls on; see `rerun_orchestration`."""
        _messages.check_rerun(
            event_id, new_instance_id=new_instance_id, new_child_instance_id=new_child_instance_id
        )
        return await self.rerun_orchestration(
            instance_id,
            event_id,
            new_instance_id=new_instance_id,
            input=input if overwrite_input else None,
            overwrite_input=overwrite_input,
            new_child_instance_id=new_child_instance_id,
            app_id=app_id,
        )
