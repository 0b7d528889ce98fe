"""A proxy of bytes between a worker and its sidecar, that does to connections what networks do to them."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self


class Proxy:
    """Listens on one port of the loopback and passes bytes on to another, until it is told otherwise."""

    def __init__(self, port: int) -> None:
        """`port` is the sidecar's, on the loopback."""
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._swallows = threading.Event()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._woken, self._wake = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._wake.send(b"e")
        self._thread.join(10)
        self.reset()
        for each in (self._listener, self._woken, self._wake):
            each.close()
        self._selector.close()

    def blackhole(self) -> None:
        """From now on bytes arrive and go nowhere, and nobody says so, on old connections and on new ones."""
        self._swallows.set()

    def pass_on(self) -> None:
        """Work again, for connections that come from now on; those from before have lost bytes, and are reset."""
        self._swallows.clear()
        self.reset()

    def reset(self) -> None:
        """End all connections as one does that does not know them: RST."""
        with self._lock:
            ended, self._pairs = list(self._pairs), {}
        for each in ended:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            with contextlib.suppress(OSError):
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            each.close()

    def _serve(self) -> None:
        while True:
            for key, _ in self._selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is self._woken:
                    return
                if ready is self._listener:
                    self._accept()
                else:
                    self._pass(ready)

    def _accept(self) -> None:
        near, _ = self._listener.accept()
        far = socket.socket()
        try:
            far.connect(("127.0.0.1", self._to))
        except OSError:
            near.close()
            far.close()
            return
        with self._lock:
            self._pairs |= {near: far, far: near}
            for each in (near, far):
                self._selector.register(each, selectors.EVENT_READ)

    def _pass(self, one: socket.socket) -> None:
        with self._lock:
            other = self._pairs.get(one)
        if other is None:
            return
        try:
            read = one.recv(65536)
            if read and not self._swallows.is_set():
                other.sendall(read)
        except OSError:
            read = b""
        if not read:
            with self._lock:
                for each in (one, other):
                    self._pairs.pop(each, None)
            for each in (one, other):
                with contextlib.suppress(KeyError, ValueError):
                    self._selector.unregister(each)
                each.close()
