"""The connections of a run, one after the other, by the transport that was chosen for it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from durabletask import _core
from durabletask._worker.choice import Choice, NativeTarget, choose, roots
from durabletask._worker.connection import Connection
from durabletask._worker.grpcio import GrpcioConnection, without_receive_limit
from durabletask._worker.native import NativeConnection
from durabletask.internal.grpc_interceptor import DefaultClientInterceptorImpl

if TYPE_CHECKING:
    from durabletask._worker.run import Settings


class Connections:
    """Makes connections from `start` to `close`."""

    def __init__(
        self, settings: Settings, is_waited_for: Callable[[], bool], logger: logging.Logger
    ):
        """`is_waited_for` is asked whether something waits for what became of results.

        Raises:
            ValueError: The transport that was wanted can not do what is asked of it.
        """
        self._settings = settings
        self._is_waited_for = is_waited_for
        self._logger = logger
        self._options = without_receive_limit(settings.channel_options, logger)
        self._choice = choose(
            settings.transport,
            settings.host_address,
            settings.secure_channel,
            settings.interceptors,
            settings.channel_options,
        )
        self._transport: _core.Transport | None = None
        self._tls: tuple[bytes, str] | None = None

    def start(self) -> None:
        """Start what connections need that all of them share."""
        choice = self._choice
        if choice.target is not None:
            self._choice = choice = self._started(choice.target)
        grpcio = choice.target is None
        self._logger.log(
            logging.INFO if grpcio and not choice.as_chosen else logging.DEBUG,
            "Connecting by %s: %s",
            "grpcio" if grpcio else "the native transport",
            choice.why,
        )

    def connect(self, offer: Sequence[tuple[str, bytes]]) -> Connection:
        """Another connection, which connects at its first call."""
        settings = self._settings
        common: dict[str, Any] = {"stateful_history": settings.stateful_history, "offer": offer}
        target = self._choice.target
        if target is not None:
            transport = self._transport
            if transport is None:
                raise RuntimeError("The worker has been stopped.")
            wire = transport.connection(
                target.host, target.port, tls=self._tls, metadata=settings.metadata
            )
            return NativeConnection(wire, self._is_waited_for, self._logger, **common)
        interceptors = list(settings.interceptors or ())
        if settings.metadata:
            interceptors.append(DefaultClientInterceptorImpl(list(settings.metadata)))
        return GrpcioConnection(
            settings.host_address,
            settings.secure_channel,
            interceptors or None,
            self._options,
            self._logger,
            **common,
        )

    def close(self) -> None:
        """End what they shared."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.stop()

    def _started(self, target: NativeTarget) -> Choice:
        """Start the native transport; it is grpcio that says what is wrong with metadata and certificates."""
        try:
            self._tls = None if target.name is None else (roots(), target.name)
            transport = _core.Transport()
            transport.connection(
                target.host, target.port, tls=self._tls, metadata=self._settings.metadata
            )
        except (OSError, ValueError) as error:
            if self._settings.transport == "native":
                raise
            return Choice(None, str(error), as_chosen=False)
        self._transport = transport
        return self._choice
