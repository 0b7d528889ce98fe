"""A sidecar in this process that does what a test tells it; messages are bytes."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any

import grpc

from support import wire

if TYPE_CHECKING:
    from typing_extensions import Self

Handler = Callable[[bytes, grpc.ServicerContext], bytes]


def activity_item(
    name: str,
    input: str | None = None,
    *,
    task_id: int = 1,
    instance_id: str = "instance",
    token: str = "token",
    execution: str = "execution",
) -> bytes:
    """Encode the work item of an activity."""
    request = wire.message(
        (1, name),
        (3, wire.text(input)),
        (4, wire.message((1, instance_id))),
        (5, task_id),
        (7, execution),
    )
    return wire.message((2, request), (10, token))


def orchestrator_item(name: str, instance_id: str = "instance", token: str = "token") -> bytes:
    """Encode the work item of an orchestration's first turn."""
    timestamp = wire.message((1, 1_700_000_000))
    began = wire.message((1, -1), (2, timestamp), (14, b""))
    started = wire.message((1, name), (4, wire.message((1, instance_id))))
    request = wire.message(
        (1, instance_id),
        (4, began),
        (4, wire.message((1, -1), (2, timestamp), (3, started))),
    )
    return wire.message((1, request), (10, token))


class FakeSidecar:
    """Serves one port of the loopback, which stays the same over `stop` and `start`."""

    def __init__(self, **options: Any) -> None:
        self.port = 0
        self.hellos = 0
        self.streams = 0
        self.stream_requests: list[bytes] = []
        self.metadata: list[dict[str, str | bytes]] = []
        self.stream_metadata: list[dict[str, str | bytes]] = []
        self.completions: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self.handlers: dict[str, Handler] = {}
        self.silent = threading.Event()
        self._options = options
        self._work: queue.Queue[bytes | None] = queue.Queue()
        self._server: Any = None
        self._open_streams = 0
        self._stopping = threading.Event()
        self._connected = threading.Condition()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        self._stopping.clear()
        options = {"grpc.so_reuseport": 0, "grpc.max_receive_message_length": -1, **self._options}
        server = grpc.server(ThreadPoolExecutor(32), options=list(options.items()))
        server.add_generic_rpc_handlers((_Methods(self),))
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        self._server = server

    def stop(self) -> None:
        """Go away: connections break, and the port is closed."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop(None).wait(10)
            self._server = None

    def send(self, item: bytes) -> None:
        """Put a work item on the stream, the one that is open or the next one."""
        self._work.put(item)

    def end_stream(self) -> None:
        """End the stream as a sidecar does that shuts down in good order."""
        self._work.put(None)

    def completion(self, timeout: float = 20.0) -> tuple[str, bytes]:
        """Wait for a completion: the method's name and the message."""
        try:
            return self.completions.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"the worker completed nothing within {timeout:g} s") from None

    def wait_for_streams(self, count: int, timeout: float = 20.0) -> None:
        """Wait until so many streams have been opened in all."""
        with self._connected:
            opened = self._connected.wait_for(lambda: self.streams >= count, timeout)
        assert opened, f"{self.streams} streams were opened within {timeout:g} s, not {count}"

    def wait_for_no_stream(self, timeout: float = 20.0) -> None:
        """Wait until no stream is open, so that the next work item goes to the next stream."""
        with self._connected:
            ended = self._connected.wait_for(lambda: self._open_streams == 0, timeout)
        assert ended, f"a stream is still open after {timeout:g} s"

    def call(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        self.metadata.append(dict(context.invocation_metadata()))
        handler = self.handlers.get(method)
        if handler is not None:
            return handler(request, context)
        if method == "Hello":
            self.hellos += 1
            while self.silent.is_set() and context.is_active():
                time.sleep(0.01)
        elif method.startswith("Complete"):
            self.completions.put((method, request))
        return b""

    def work_items(self, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        with self._connected:
            self.streams += 1
            self._open_streams += 1
            self.stream_requests.append(request)
            self.stream_metadata.append(dict(context.invocation_metadata()))
            self._connected.notify_all()
        try:
            while context.is_active() and not self._stopping.is_set():
                try:
                    item = self._work.get(timeout=0.02)
                except queue.Empty:
                    continue
                if item is None:
                    return
                yield item
        finally:
            with self._connected:
                self._open_streams -= 1
                self._connected.notify_all()


class _Methods(grpc.GenericRpcHandler):
    def __init__(self, sidecar: FakeSidecar) -> None:
        self._sidecar = sidecar

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = handler_call_details.method.rpartition("/")[2]
        if method == "GetWorkItems":
            return grpc.unary_stream_rpc_method_handler(self._sidecar.work_items)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._sidecar.call(method, request, context)
        )
