"""Starts, watches and steers orchestrations; `durabletask.aio` has its asyncio twin."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from durabletask import _core, task
from durabletask._client import apps, calls, listing
from durabletask._interceptors import adapted
from durabletask._logging import GuardedLogger
from durabletask._states import (
    HistoryEvent,
    InstanceIdPage,
    OrchestrationFailedError,
    OrchestrationPage,
    OrchestrationState,
    OrchestrationStatus,
    decode_history,
    decode_state,
    new_orchestration_state,
)
from durabletask._tracing import TraceContext, current, scheduling
from durabletask._transport import (
    code_of,
    is_connection_failure,
    open_channel,
    path,
    with_api_token,
)
from durabletask.internal import shared
from durabletask.internal.grpc_interceptor import DefaultClientInterceptorImpl
from durabletask.internal.orchestrator_service_pb2 import OrchestrationIdReusePolicy
from durabletask.internal.orchestrator_service_pb2_grpc import TaskHubSidecarServiceStub
from durabletask.task import TInput, TOutput

if TYPE_CHECKING:
    from typing_extensions import Self

    from durabletask.payloads import PayloadConverter

__all__ = [
    "HistoryEvent",
    "InstanceIdPage",
    "OrchestrationFailedError",
    "OrchestrationPage",
    "OrchestrationState",
    "OrchestrationStatus",
    "TInput",
    "TOutput",
    "TaskHubGrpcClient",
    "new_orchestration_state",
]


class TaskHubGrpcClient:
    """A client of one sidecar. Its methods may be called from several threads.

    Calls that fail raise `grpc.RpcError`, with `.code()` and `.details()`. Usable as a context
    manager, which closes it.
    """

    def __init__(
        self,
        *,
        host_address: str | None = None,
        metadata: Sequence[tuple[str, str]] | None = None,
        log_handler: logging.Handler | None = None,
        log_formatter: logging.Formatter | None = None,
        secure_channel: bool = False,
        interceptors: Sequence[shared.ClientInterceptor] | None = None,
        channel_options: Sequence[tuple[str, Any]] | None = None,
        payload_converter: PayloadConverter | None = None,
    ):
        """Prepare a client; it connects at the first call.

        Args:
            host_address: `host:port`, with or without a scheme, or any gRPC target; None: from the
                environment, else localhost:4001.
            metadata: Added to every call. Without a `dapr-api-token` of its own, so is the one in the
                environment variable DAPR_API_TOKEN.
            log_handler: Where log lines go, besides where logging sends them; None: nowhere else, and to standard
                error if the program has not set logging up.
            log_formatter: How they look.
            secure_channel: Whether to use TLS when the address has no scheme that says so.
            interceptors: gRPC interceptors; they see messages if protobuf is installed, and else bytes.
            channel_options: gRPC channel arguments, over the defaults: no transport pings, messages
                of any size.
            payload_converter: Writes payloads; None: as `durabletask.payloads` says. Give workers the same.
        """
        chain = adapted(interceptors)
        if pairs := with_api_token(metadata):
            chain.append(DefaultClientInterceptorImpl(pairs))
        self._channel = open_channel(host_address, secure_channel, chain or None, channel_options)
        self._logger = GuardedLogger(shared.get_logger("client", log_handler, log_formatter))
        self._closed = False
        self._payload_converter = payload_converter
        self._methods: dict[str, Any] = {}
        self._runtime: apps.Runtime | None = None
        self._own_stub: Any = None

    @property
    def _stub(self) -> Any:
        """What 0.17 made its calls by, and tests of programs replace."""
        return self._own_stub or TaskHubSidecarServiceStub(self._channel)

    @_stub.setter
    def _stub(self, stub: Any) -> None:
        self._own_stub = stub

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; calls in progress fail. Closing again does nothing."""
        self._closed = True
        try:
            self._channel.close()
        except Exception as error:  # a replaced channel may raise; there is nothing left to save
            self._logger.debug("Closing the channel failed: %s", error)

    def schedule_new_orchestration(
        self,
        orchestrator: task.Orchestrator[TInput, Any] | str,
        *,
        input: TInput | None = None,  # noqa: A002
        instance_id: str | None = None,
        start_at: datetime | None = None,
        reuse_id_policy: OrchestrationIdReusePolicy | None = None,
        unique_instance_id: bool = False,
        app_id: str | None = None,
    ) -> str:
        """Start an orchestration.

        Args:
            orchestrator: The function, or the name it is registered under.
            input: A value that can be written as JSON.
            instance_id: The id to give it; None: a generated one.
            start_at: When to start it: UTC unless it has tzinfo; None: now.
            reuse_id_policy: What to do if the id is taken; sidecars since Dapr 1.18 ignore it.
            unique_instance_id: Whether to insist on an id that nothing has or had; without it, an orchestration that
                has ended makes room for another of its id. Needs Dapr 1.19: older sidecars pass over it.
            app_id: The app to start it in; None: the sidecar's own. Needs Dapr 1.19; durabletask-go's own
                sidecar passes over it, here and in all other calls.

        Returns:
            Its instance id.

        Raises:
            grpc.RpcError: Among others ALREADY_EXISTS, if an orchestration with this id is running.
            NotImplementedError: `app_id` is another app, and the sidecar a Dapr before 1.19. So do all other calls.
        """
        name = calls.name_of(orchestrator)
        new_id = instance_id or calls.new_instance_id()
        with scheduling(name, new_id) as trace:
            request = calls.create_request(
                name,
                input,
                new_id,
                start_at,
                reuse_id_policy,
                self._payload_converter,
                trace,
                unique_instance_id=unique_instance_id,
                app_id=self._app(app_id),
            )
            self._logger.info(
                "Starting new '%s' instance with ID = '%s'.",
                name,
                new_id,
                extra={"instance_id": new_id, "orchestration": name},
            )
            response = self._call("StartInstance", request, trace=trace)
        return _core.decode_create_instance_response(response)

    def get_orchestration_state(
        self, instance_id: str, *, fetch_payloads: bool = True, app_id: str | None = None
    ) -> OrchestrationState | None:
        """The state of an orchestration now, or None if there is none of this id.

        `fetch_payloads` asks for its input, output and custom status too; `app_id` is the app that it belongs to, if
        that is another than the sidecar's own.
        """
        request = _core.encode_get_instance_request(
            instance_id, fetch_payloads, app_id=self._app(app_id)
        )
        return decode_state(instance_id, self._call("GetInstance", request))

    def wait_for_orchestration_start(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = False,
        timeout: float | None = 0,
        app_id: str | None = None,
    ) -> OrchestrationState | None:
        """Wait until an orchestration has run its first turn.

        Args:
            instance_id: Which one.
            fetch_payloads: Whether to ask for its input, output and custom status too.
            timeout: Seconds; 0 or None waits for ever. Connections may be lost and come back within
                that time.
            app_id: The app that it belongs to, if that is another than the sidecar's own.

        Raises:
            TimeoutError: The time is up.
        """
        request = _core.encode_get_instance_request(
            instance_id, fetch_payloads, app_id=self._app(app_id)
        )
        wait = calls.Wait(self._logger, instance_id, "start", timeout)
        return decode_state(instance_id, self._wait("WaitForInstanceStart", request, wait))

    def wait_for_orchestration_completion(
        self,
        instance_id: str,
        *,
        fetch_payloads: bool = True,
        timeout: float | None = 0,
        app_id: str | None = None,
    ) -> OrchestrationState | None:
        """Wait until an orchestration has ended, whichever way.

        Args:
            instance_id: Which one.
            fetch_payloads: Whether to ask for its input, output and custom status too.
            timeout: Seconds; 0 or None waits for ever. Connections may be lost and come back within
                that time.
            app_id: The app that it belongs to, if that is another than the sidecar's own.

        Raises:
            TimeoutError: The time is up.
        """
        request = _core.encode_get_instance_request(
            instance_id, fetch_payloads, app_id=self._app(app_id)
        )
        wait = calls.Wait(self._logger, instance_id, "complete", timeout)
        response = self._wait("WaitForInstanceCompletion", request, wait)
        state = decode_state(instance_id, response)
        calls.log_outcome(self._logger, state)
        return state

    def raise_orchestration_event(
        self, instance_id: str, event_name: str, *, data: Any = None, app_id: str | None = None
    ) -> None:
        """Send an event to an orchestration; one that has ended does not get it.

        Names are compared without regard to case; `data` is a value that can be written as JSON; `app_id` is the app
        that the orchestration belongs to, if that is another than the sidecar's own.
        """
        request = _core.encode_raise_event_request(
            calls.text(instance_id, "instance_id"),
            calls.text(event_name, "event_name"),
            calls.encoded(data, self._payload_converter),
            app_id=self._app(app_id),
        )
        self._logger.info(
            "Raising event '%s' for instance '%s'.",
            event_name,
            instance_id,
            extra={"instance_id": instance_id},
        )
        self._call("RaiseEvent", request, trace=current())

    def terminate_orchestration(
        self,
        instance_id: str,
        *,
        output: Any = None,
        recursive: bool = True,
        app_id: str | None = None,
    ) -> None:
        """End an orchestration from outside, with `output` as its output.

        `recursive` ends what it started, too. Activities that are running are not interrupted. `app_id` is the app that
        it belongs to, if that is another than the sidecar's own.
        """
        request = _core.encode_terminate_request(
            instance_id,
            calls.encoded(output, self._payload_converter),
            recursive=recursive,
            app_id=self._app(app_id),
        )
        self._logger.info(
            "Terminating instance '%s'.", instance_id, extra={"instance_id": instance_id}
        )
        self._call("TerminateInstance", request)

    def suspend_orchestration(self, instance_id: str, *, app_id: str | None = None) -> None:
        """Hold an orchestration: events reach it only after it is resumed.

        `app_id` is the app that it belongs to, if that is another than the sidecar's own.
        """
        self._logger.info(
            "Suspending instance '%s'.", instance_id, extra={"instance_id": instance_id}
        )
        self._call(
            "SuspendInstance", _core.encode_suspend_request(instance_id, app_id=self._app(app_id))
        )

    def resume_orchestration(self, instance_id: str, *, app_id: str | None = None) -> None:
        """Let a suspended orchestration go on.

        `app_id` is the app that it belongs to, if that is another than the sidecar's own.
        """
        self._logger.info(
            "Resuming instance '%s'.", instance_id, extra={"instance_id": instance_id}
        )
        self._call(
            "ResumeInstance", _core.encode_resume_request(instance_id, app_id=self._app(app_id))
        )

    def purge_orchestration(
        self,
        instance_id: str,
        recursive: bool = True,
        *,
        force: bool = False,
        app_id: str | None = None,
    ) -> int:
        """Delete all that is stored about an orchestration that has ended.

        Args:
            instance_id: Which one.
            recursive: Whether to delete those that it started, too.
            force: Whether to delete it even if it has not ended; not every sidecar does.
            app_id: The app that it belongs to, if that is another than the sidecar's own.

        Returns:
            How many were deleted.
        """
        request = _core.encode_purge_instances_request(
            instance_id, recursive=recursive, force=force or None, app_id=self._app(app_id)
        )
        self._logger.info("Purging instance '%s'.", instance_id, extra={"instance_id": instance_id})
        deleted, _complete = _core.decode_purge_instances_response(
            self._call("PurgeInstances", request)
        )
        return deleted

    def rerun_orchestration(
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
        """Run a copy of an orchestration that has ended, from one of its calls on.

        What had ended before that call was made has ended for the copy too, and is not done again.
        The call itself, and whatever else was under way then, is. Sub-orchestrations can not be
        copied, but what has called them can. durabletask-go's own sidecar does not do this.

        Args:
            instance_id: What to copy.
            event_id: The `eventId` in its history of the activity, timer or sub-orchestration to
                run again.
            new_instance_id: The copy's id, which nothing else may have; None: a generated one.
            input: Another input for that call, if `overwrite_input` is set. Timers have none.
            overwrite_input: Whether `input` replaces the recorded one.
            new_child_instance_id: The id of the sub-orchestration, if the call is one; None: one made
                from the copy's id.
            app_id: The app that it belongs to, if that is another than the sidecar's own.

        Returns:
            The id of the copy.

        Raises:
            grpc.RpcError: NOT_FOUND: there is no such instance, or no such call. INVALID_ARGUMENT: it
                has not ended, or can not be run again like this. ALREADY_EXISTS: the new id is taken.
        """
        request = _core.encode_rerun_request(
            instance_id,
            event_id,
            new_instance_id=new_instance_id,
            input=calls.encoded(input, self._payload_converter),
            overwrite_input=overwrite_input,
            new_child_instance_id=new_child_instance_id,
            app_id=self._app(app_id),
        )
        self._logger.info(
            "Running instance '%s' again from event %d.",
            instance_id,
            event_id,
            extra={"instance_id": instance_id},
        )
        return _core.decode_rerun_response(self._call("RerunWorkflowFromEvent", request))

    def list_instance_ids(
        self, *, page_size: int | None = None, continuation_token: str | None = None
    ) -> InstanceIdPage:
        """A page of the ids of all orchestrations that the sidecar knows.

        Args:
            page_size: How many at most; None: as the sidecar pleases.
            continuation_token: Of the page before; None: the first page.
        """
        request = _core.encode_list_instance_ids_request(continuation_token, page_size)
        response = self._call("ListInstanceIDs", request)
        return InstanceIdPage(*_core.decode_list_instance_ids_response(response))

    def list_orchestrations(
        self,
        *,
        status: OrchestrationStatus | Iterable[OrchestrationStatus] | None = None,
        name: str | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
        updated_from: datetime | None = None,
        updated_to: datetime | None = None,
        instance_id_prefix: str | None = None,
        roots_only: bool = False,
        fetch_payloads: bool = False,
        page_size: int | None = None,
        continuation_token: str | None = None,
    ) -> OrchestrationPage:
        """A page of the orchestrations that fit all that is given.

        On the embedded sidecar that is one call, answered by an index where there is one, in the order of their
        creation. On others each page is a page of ids and then one call for each of them, 16 at once, whether or not
        they fit: there a page may hold fewer than `page_size`, the order is the sidecar's, and looking for few among
        many costs as many calls as there are orchestrations. Sidecars that do not list ids can not do it.

        Args:
            status: The status, or several of them; None: any.
            name: The orchestrator's name; None: any.
            created_from: Not created before; UTC unless it has tzinfo, as all of these times.
            created_to: Not created after.
            updated_from: Whose state last changed no earlier.
            updated_to: Whose state last changed no later.
            instance_id_prefix: What the instance id begins with, case included.
            roots_only: Leave out sub-orchestrations, but those whose parent was deleted on the embedded sidecar.
            fetch_payloads: Whether to ask for inputs, outputs, custom statuses and failures too.
            page_size: How many at most, up to 1,000; None: 100.
            continuation_token: Of the page before; None: the first page.

        Raises:
            ValueError: `page_size` is not positive.
            grpc.RpcError: UNIMPLEMENTED: the sidecar can not list. INVALID_ARGUMENT: the token is none of its own.
        """
        wanted = listing.Filter(
            status,
            name,
            created_from,
            created_to,
            updated_from,
            updated_to,
            instance_id_prefix,
            roots_only,
        )
        return self._run(listing.list_page(wanted, fetch_payloads, page_size, continuation_token))

    def purge_orchestrations(
        self,
        *,
        status: OrchestrationStatus | Iterable[OrchestrationStatus] | None = None,
        created_from: datetime | None = None,
        created_to: datetime | None = None,
    ) -> int:
        """Delete all orchestrations that fit and have ended, with those that they started.

        One of which a sub-orchestration is still at work stays. On other sidecars than the embedded one it costs what
        `list_orchestrations` costs there, and one call more for each that is deleted.

        Args:
            status: The status, or several of them; None: any in which an orchestration has ended.
            created_from: Not created before: UTC unless it has tzinfo.
            created_to: Not created after.

        Returns:
            How many were deleted.

        Raises:
            grpc.RpcError: UNIMPLEMENTED: the sidecar can not list what it has.
        """
        wanted = listing.Filter(status, created_from=created_from, created_to=created_to)
        self._logger.info("Purging all orchestrations that have ended and fit.")
        return self._run(listing.purge_all(wanted))

    def restart_orchestration(
        self, instance_id: str, *, new_instance_id: str | None = None, app_id: str | None = None
    ) -> str:
        """Start an orchestration again from the beginning: same name, version, input and tags.

        The input is that of its last execution, if it has continued as new.

        Args:
            instance_id: Which one; it may still be running, if it is to have another id.
            new_instance_id: The id to give it, which may be that of the first one once that has ended; None: a
                generated one.
            app_id: The app that it belongs to, if that is another than the sidecar's own.

        Returns:
            The id that it has.

        Raises:
            ValueError: There is no such orchestration.
            grpc.RpcError: ALREADY_EXISTS: an orchestration with the new id is running.
        """
        new_id = new_instance_id or calls.new_instance_id()
        self._logger.info(
            "Starting instance '%s' again as '%s'.",
            instance_id,
            new_id,
            extra={"instance_id": instance_id},
        )
        return self._run(listing.restart(instance_id, new_id, self._app(app_id)))

    def get_orchestration_history(self, instance_id: str) -> list[HistoryEvent]:
        """All that happened in the current execution of an orchestration, oldest first."""
        request = _core.encode_get_instance_history_request(instance_id)
        return decode_history(self._call("GetInstanceHistory", request))

    def _app(self, app_id: str | None) -> str | None:
        """The app that a call is for, if the sidecar knows of any but its own; which is asked once."""
        if app_id is not None and self._own_stub is None:
            if self._runtime is None:
                try:
                    metadata = self._call(apps.METADATA, b"", apps.TIMEOUT)
                    self._runtime = apps.runtime_of(metadata)
                except grpc.RpcError as error:
                    if (
                        is_connection_failure(error)
                        or code_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED
                    ):
                        return app_id  # the call itself meets the same
                    self._runtime = apps.Runtime()
            self._runtime.check(app_id)
        return app_id

    def _call(
        self,
        method: str,
        request: bytes,
        timeout: float | None = None,
        trace: TraceContext | None = None,
    ) -> bytes:
        if self._own_stub is not None:
            return calls.by_stub(self._own_stub, method, request, timeout)
        call = self._methods.get(method)
        if call is None:
            call = self._methods[method] = self._channel.unary_unary(path(method))
        metadata = None if trace is None else trace.metadata
        response: bytes = call(request, timeout=timeout, metadata=metadata)
        return response

    def _run(self, steps: listing.Steps[listing.T]) -> listing.T:
        """Make the calls that `steps` asks for, several at once."""

        def attempt(call: listing.Call) -> listing.Outcome:
            if self._own_stub is not None and (unknown := listing.unknown_to_stubs(call)):
                return unknown
            try:
                return self._call(*call)
            except grpc.RpcError as error:
                return error

        with ThreadPoolExecutor(listing.AT_ONCE, "durabletask-client") as threads:
            try:
                batch = next(steps)
                while True:
                    batch = steps.send(list(threads.map(attempt, batch)))
            except StopIteration as end:
                result: listing.T = end.value
                return result

    def _wait(self, method: str, request: bytes, wait: calls.Wait) -> bytes:
        while True:
            try:
                return self._call(method, request, wait.call_timeout)
            except grpc.RpcError as error:
                if self._closed:
                    raise
                pause = wait.pause_after(error)
            time.sleep(pause)
