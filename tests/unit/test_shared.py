"""Addresses, channels and loggers."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from grpc import aio as grpc_aio

from durabletask import _transport
from durabletask.aio.internal.shared import get_grpc_aio_channel
from durabletask.internal import shared


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "localhost:4001"),
        ({"DAPR_GRPC_ENDPOINT": "grpcs://far:443", "DAPR_GRPC_HOST": "near"}, "grpcs://far:443"),
        ({"DAPR_GRPC_HOST": "near", "DAPR_RUNTIME_HOST": "other"}, "near:4001"),
        ({"DAPR_RUNTIME_HOST": "other", "DAPR_GRPC_PORT": "50001"}, "other:50001"),
        ({"DAPR_GRPC_PORT": "50001"}, "localhost:4001"),
    ],
)
def test_the_default_address_comes_from_the_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert shared.get_default_host_address() == expected


@pytest.mark.parametrize(
    ("environment", "address", "hinted"),
    [
        ({"DAPR_GRPC_PORT": "50001"}, "localhost:4001", True),
        ({"DAPR_GRPC_PORT": "50001"}, "localhost:5000", False),
        ({"DAPR_GRPC_PORT": "50001", "DAPR_GRPC_HOST": "near"}, "near:50001", False),
        ({"DAPR_GRPC_PORT": "50001", "DAPR_GRPC_ENDPOINT": "far:1"}, "far:1", False),
        ({}, "localhost:4001", False),
    ],
)
def test_a_port_that_is_set_and_does_not_count_is_pointed_out(
    environment: dict[str, str], address: str, hinted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert ("DAPR_GRPC_PORT, which is 50001" in shared.hint_about_port(address)) == hinted


@pytest.mark.parametrize(
    ("address", "secure", "target", "tls"),
    [
        ("host:1", False, "host:1", False),
        ("host:1", True, "host:1", True),
        ("HTTPS://host:1", False, "host:1", True),
        ("grpcs://host:1", False, "host:1", True),
        ("http://host:1", True, "host:1", False),
        ("GRPC://host:1", True, "host:1", False),
        ("dns:host:1", False, "dns:host:1", False),
        ("unix:/run/sidecar", False, "unix:/run/sidecar", False),
    ],
)
def test_a_scheme_decides_on_tls_and_other_targets_pass(
    address: str, secure: bool, target: str, tls: bool
) -> None:
    assert shared.resolve_target(address, secure) == (target, tls)
    with patch("grpc.secure_channel") as with_tls, patch("grpc.insecure_channel") as without:
        shared.get_grpc_channel(address, secure)
    used, other = (with_tls, without) if tls else (without, with_tls)
    assert used.call_args.args[0] == target
    other.assert_not_called()


def test_channels_send_no_pings_and_take_messages_of_any_size() -> None:
    with patch("grpc.insecure_channel") as channel:
        shared.get_grpc_channel("host:1")
    options = dict(channel.call_args.kwargs["options"])
    assert options["grpc.max_receive_message_length"] == -1
    assert options["grpc.max_send_message_length"] == -1
    assert not [name for name in options if "keepalive" in name]


def test_channel_options_override_the_defaults() -> None:
    with patch("grpc.insecure_channel") as channel:
        shared.get_grpc_channel("host:1", options=[("grpc.max_receive_message_length", 5)])
    assert dict(channel.call_args.kwargs["options"])["grpc.max_receive_message_length"] == 5


def test_asyncio_channels_resolve_addresses_alike() -> None:
    with patch.object(grpc_aio, "insecure_channel") as channel:
        get_grpc_aio_channel("http://host:1", True, options=[("a", 1)])
    assert channel.call_args.args[0] == "host:1"
    assert channel.call_args.kwargs["options"] == [("a", 1)]


def test_a_replaced_channel_function_need_not_take_options(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, ...]] = []

    def old(host_address: Any, secure_channel: bool = False, interceptors: Any = None) -> str:
        calls.append((host_address, secure_channel, interceptors))
        return "old"

    def new(*args: Any, **kwargs: Any) -> str:
        calls.append((args, kwargs))
        return "new"

    monkeypatch.setattr(shared, "get_grpc_channel", old)
    opened: Any = _transport.open_channel("host:1", True, None, [("a", 1)])
    assert opened == "old"
    monkeypatch.setattr(shared, "get_grpc_channel", new)
    opened = _transport.open_channel("host:1", True, None, [("a", 1)])
    assert opened == "new"
    assert calls == [
        ("host:1", True, None),
        (("host:1", True, None), {"options": [("a", 1)]}),
    ]
