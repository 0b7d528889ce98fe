"""Which transport a worker uses, and why: its own, or grpcio for what only that has."""

from __future__ import annotations

import os
import pkgutil
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

import grpc

from durabletask.internal import shared

Transport = Literal["auto", "native", "grpcio"]
TRANSPORTS: tuple[Transport, ...] = ("auto", "native", "grpcio")

# Stands for "auto".
_VARIABLE = "DURABLETASK_TRANSPORT"

# What "auto" means where nothing else is said.
_DEFAULT: Transport = "grpcio"

_TARGET = re.compile(
    r"(?:dns:(?:///)?)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})"
)

_NAME_OVERRIDE = "grpc.ssl_target_name_override"
# None: any value; else the only one that says nothing.
_KNOWN_OPTIONS: dict[str, Any] = {
    "grpc.max_receive_message_length": None,  # no worker has such a limit
    "grpc.max_send_message_length": -1,
    _NAME_OVERRIDE: None,
}

# As gRPC looks for them.
_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXIES = ("no_grpc_proxy", "no_proxy")

_ROOTS = "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH"


@dataclass(frozen=True)
class NativeTarget:
    """Attributes: host, port: where to connect. name: whom the certificate has to be for; None: no TLS."""

    host: str
    port: int
    name: str | None


@dataclass(frozen=True)
class Choice:
    """Attributes: target: where the package's own transport connects; None: grpcio does. why: what the log says.

    as_chosen: whether that is the transport that was asked for.
    """

    target: NativeTarget | None
    why: str
    as_chosen: bool = True


def known_transport(name: Any) -> Transport:
    """The name of a transport.

    Raises:
        ValueError: It is none.
    """
    for known in TRANSPORTS:
        if name == known:
            return known
    names = ", ".join(f'"{known}"' for known in TRANSPORTS)
    raise ValueError(f"transport must be one of {names}; found {name!r}")


def choose(
    transport: Transport,
    host_address: str,
    secure_channel: bool,
    interceptors: Sequence[Any] | None,
    channel_options: Sequence[tuple[str, Any]] | None,
    environment: Mapping[str, str] = os.environ,
) -> Choice:
    """Choose the transport of a worker that was constructed with these arguments.

    Raises:
        ValueError: Only the native transport was wanted, and it can not do what is asked of it; or the environment
            variable DURABLETASK_TRANSPORT names none.
    """
    wanted, whose = transport, "by the program"
    if wanted == "auto":
        named = environment.get(_VARIABLE) or "auto"
        if named not in TRANSPORTS:
            raise ValueError(f"{_VARIABLE} must be one of {', '.join(TRANSPORTS)}; found {named!r}")
        wanted, whose = known_transport(named), f"by {_VARIABLE}"
    if wanted == "auto":
        wanted, whose = _DEFAULT, "by default"
    if wanted == "grpcio":
        return Choice(None, f"chosen {whose}")
    target, secure = shared.resolve_target(host_address, secure_channel)
    found = _TARGET.fullmatch(target)
    if found is None or int(found["port"]) > 0xFFFF:
        why_not = f"the address {target!r} is not of the form host:port"
    else:
        host = found["host"].strip("[]")
        why_not = (
            _why_not_by_program(interceptors, channel_options or ())
            or _why_not_by_packages(secure)
            or _why_not_by_proxy(host, environment)
        )
        if not why_not:
            name = dict(channel_options or ()).get(_NAME_OVERRIDE) or host
            return Choice(
                NativeTarget(host, int(found["port"]), str(name) if secure else None),
                f"chosen {whose}",
            )
    if transport == "native":
        raise ValueError(f'transport="native" is not possible: {why_not}')
    return Choice(None, why_not, as_chosen=False)


def roots(environment: Mapping[str, str] = os.environ) -> bytes:
    """The certificates of the authorities that gRPC trusts, in PEM."""
    path = environment.get(_ROOTS)
    if path:
        return Path(path).read_bytes()
    return pkgutil.get_data("grpc._cython", "_credentials/roots.pem") or b""


def _why_not_by_program(
    interceptors: Sequence[Any] | None, channel_options: Sequence[tuple[str, Any]]
) -> str:
    if interceptors:
        return "it has interceptors"
    for name, value in channel_options:
        if name not in _KNOWN_OPTIONS or _KNOWN_OPTIONS[name] not in (None, value):
            return f"the channel option {name} is gRPC's"
    return ""


def _why_not_by_packages(secure: bool) -> str:
    """Packages put something in the place of what makes channels, to see or to change what goes through them."""
    factory = shared.get_grpc_channel
    if factory is not shared.OWN_GET_GRPC_CHANNEL:
        return f"get_grpc_channel was replaced by {getattr(factory, '__module__', factory)!s}"
    makes: Any = grpc.secure_channel if secure else grpc.insecure_channel
    if type(makes) is not FunctionType or makes.__globals__ is not vars(grpc):
        return "gRPC's channels are instrumented"
    return ""


def _why_not_by_proxy(host: str, environment: Mapping[str, str]) -> str:
    proxy = next((name for name in _PROXIES if environment.get(name)), None)
    if proxy is None:
        return ""
    excepted = next((environment[name] for name in _NO_PROXIES if environment.get(name)), "")
    entries = [entry.strip() for entry in excepted.split(",")]
    if any(entry and host.lower().endswith(entry.lower()) for entry in entries):
        return ""
    return f"{proxy} names a proxy"
