"""What `durabletask.testing.Environment` is made of."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Union

from durabletask import task
from durabletask.aio.client import AsyncTaskHubGrpcClient
from durabletask.client import OrchestrationState, TaskHubGrpcClient
from durabletask.internal import shared
from durabletask.sidecar import Sidecar
from durabletask.worker import TaskHubGrpcWorker

if TYPE_CHECKING:
    from typing_extensions import Self

_Orchestrator = Union["task.Orchestrator[Any, Any]", "tuple[str, task.Orchestrator[Any, Any]]"]
_Activity = Union["task.Activity[Any, Any]", "tuple[str, task.Activity[Any, Any]]"]


class Environment:
    """A sidecar in memory, a worker and clients: a context manager, for `with` or `async with`.

    Args:
        orchestrators: What the worker has: functions, or pairs of a name and a function.
        activities: The same for activities. A pair puts a fake in the place of the activity of that name.
        time_skipping: Let time pass by itself; False: time is that of the clock.
        start_time: When time begins: UTC unless it has tzinfo; None: the beginning of the year 2000.
        seed: Which ids everything gets: the same ones for the same seed; None is a seed too.
        worker_options: Further arguments of `TaskHubGrpcWorker`.

    Attributes:
        sidecar: The sidecar; its `address` is for workers and clients of your own.
        worker: The worker. Without orchestrators and activities it is not started: then others' workers do the work.
        client: A client.
        aio_client: An asyncio client, within `async with`.

    Raises:
        ValueError: A name is registered twice, or start_time or seed is given without time_skipping.
    """

    sidecar: Sidecar
    worker: TaskHubGrpcWorker
    client: TaskHubGrpcClient
    aio_client: AsyncTaskHubGrpcClient

    def __init__(
        self,
        orchestrators: Sequence[_Orchestrator] = (),
        activities: Sequence[_Activity] = (),
        *,
        time_skipping: bool = True,
        start_time: datetime | None = None,
        seed: int | None = None,
        worker_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.sidecar = Sidecar(time_skipping=time_skipping, start_time=start_time, seed=seed)
        self._orchestrators = orchestrators
        self._activities = activities
        self._worker_options = dict(worker_options or {})
        self._converter = self._worker_options.get("payload_converter")
        self._random = random.Random(seed or 0)
        self._open: ExitStack | None = None
        self._async_open: AsyncExitStack | None = None

    def __enter__(self) -> Self:
        if self._open is not None:
            raise RuntimeError("The environment is open already.")
        with ExitStack() as stack:
            stack.enter_context(self.sidecar)
            address = self.sidecar.address
            self.client = stack.enter_context(
                TaskHubGrpcClient(host_address=address, payload_converter=self._converter)
            )
            self.worker = TaskHubGrpcWorker(host_address=address, **self._worker_options)
            for orchestrator in self._orchestrators:
                name, code = _named(orchestrator)
                self.worker._registry.add_named_orchestrator(name, code)
            for activity in self._activities:
                name, code = _named(activity)
                self.worker._registry.add_named_activity(name, code)
            if self._orchestrators or self._activities:
                stack.callback(self.worker.stop)
                self.worker.start()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._open is not None:
            stack, self._open = self._open, None
            stack.close()

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.__enter__)
        self.aio_client = AsyncTaskHubGrpcClient(
            host_address=self.sidecar.address, payload_converter=self._converter
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aio_client.aclose()
        await asyncio.to_thread(self.__exit__, exc_type, exc_value, traceback)

    def run(
        self,
        orchestrator: task.Orchestrator[Any, Any] | str,
        *,
        input: Any = None,  # noqa: A002
        instance_id: str | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """Run an orchestration to its end.

        Args:
            orchestrator: The function, or its name.
            input: Its input.
            instance_id: Its id; None: one that is the same each time.
            timeout: How many seconds of real time to wait.

        Returns:
            Its output, read from JSON.

        Raises:
            OrchestrationFailedError: It failed.
            TimeoutError: It has not ended in time.
        """
        new_id = self.client.schedule_new_orchestration(
            orchestrator, input=input, instance_id=instance_id or self._new_id()
        )
        return self._output(self.client.wait_for_orchestration_completion(new_id, timeout=timeout))

    async def arun(
        self,
        orchestrator: task.Orchestrator[Any, Any] | str,
        *,
        input: Any = None,  # noqa: A002
        instance_id: str | None = None,
        timeout: float = 30.0,
    ) -> Any:
        """`run`, within `async with`."""
        new_id = await self.aio_client.schedule_new_orchestration(
            orchestrator, input=input, instance_id=instance_id or self._new_id()
        )
        return self._output(
            await self.aio_client.wait_for_orchestration_completion(new_id, timeout=timeout)
        )

    def now(self) -> datetime:
        """What time it is for orchestrations, in UTC, with tzinfo."""
        return self.sidecar.now()

    def skip(self, by: timedelta, *, timeout: float = 30.0) -> datetime:
        """Let time pass, with everything that happens meanwhile, as `Sidecar.skip` does.

        Returns what time it is then.
        """
        return self.sidecar.skip(by, timeout=timeout)

    def _new_id(self) -> str:
        return uuid.UUID(int=self._random.getrandbits(128), version=4).hex

    def _output(self, state: OrchestrationState | None) -> Any:
        if state is None:
            raise RuntimeError("The orchestration is gone: it was purged while it was waited for.")
        state.raise_if_failed()
        if state.serialized_output is None:
            return None
        if self._converter is not None:
            return self._converter.from_json(state.serialized_output, None)
        return shared.from_json(state.serialized_output)


def _named(given: Any) -> tuple[str, Callable[..., Any]]:
    if isinstance(given, tuple):
        name, code = given
        return name, code
    return task.get_name(given), given
