"""Which transport a worker uses, and what it says about it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest

from durabletask._worker import choice
from durabletask._worker.choice import Choice, NativeTarget, choose
from durabletask.internal import shared
from durabletask.worker import TaskHubGrpcWorker

from support.fake_sidecar import FakeSidecar

NATIVE = {"DURABLETASK_TRANSPORT": "native"}


def chosen(
    address: str = "localhost:4001",
    *,
    secure: bool = False,
    interceptors: Any = None,
    options: Any = None,
    environment: Mapping[str, str] = {},
) -> Choice:
    return choose("auto", address, secure, interceptors, options, {**NATIVE, **environment})


@pytest.mark.parametrize(
    ("address", "secure", "target"),
    [
        ("localhost:4001", False, NativeTarget("localhost", 4001, None)),
        ("localhost:4001", True, NativeTarget("localhost", 4001, "localhost")),
        ("https://side.car:443", False, NativeTarget("side.car", 443, "side.car")),
        ("grpc://127.0.0.1:1", True, NativeTarget("127.0.0.1", 1, None)),
        ("[::1]:4001", False, NativeTarget("::1", 4001, None)),
        ("dns:side.car:4001", False, NativeTarget("side.car", 4001, None)),
        ("dns:///side.car:4001", False, NativeTarget("side.car", 4001, None)),
    ],
)
def test_plain_and_tls_addresses_are_for_the_native_transport(
    address: str, secure: bool, target: NativeTarget
) -> None:
    assert chosen(address, secure=secure).target == target


@pytest.mark.parametrize(
    "address",
    [
        "unix:/run/sidecar.sock",
        "unix-abstract:sidecar",
        "dns://8.8.8.8/side.car:4001",
        "ipv4:127.0.0.1:4001",
        "xds:///sidecar",
        "localhost",
        "localhost:70000",
        "localhost:4001/path",
        "",
    ],
)
def test_other_addresses_are_for_grpcio(address: str) -> None:
    found = chosen(address)
    assert found.target is None
    assert "not of the form host:port" in found.why


def test_options_that_say_nothing_or_that_are_known_do_not_matter() -> None:
    options = [
        ("grpc.max_receive_message_length", 4),
        ("grpc.max_send_message_length", -1),
        ("grpc.ssl_target_name_override", "other"),
    ]
    assert chosen(options=options, secure=True).target == NativeTarget("localhost", 4001, "other")


@pytest.mark.parametrize(
    "option", [("grpc.keepalive_time_ms", 1_000), ("grpc.max_send_message_length", 4)]
)
def test_options_of_grpcs_are_for_grpcio(option: tuple[str, Any]) -> None:
    assert option[0] in chosen(options=[option]).why


def test_interceptors_are_for_grpcio() -> None:
    assert chosen(interceptors=[object()]).target is None


def test_replaced_and_instrumented_channels_are_for_grpcio(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(shared, "get_grpc_channel", lambda *_, **__: None)
        assert "get_grpc_channel was replaced" in chosen().why
    made = grpc.insecure_channel
    monkeypatch.setattr(grpc, "insecure_channel", lambda *arguments: made(*arguments))
    assert "instrumented" in chosen().why
    assert chosen(secure=True).target is not None


@pytest.mark.parametrize("name", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_proxies_are_for_grpcio_unless_the_address_is_excepted(name: str) -> None:
    proxy = {name: "http://proxy:3128"}
    assert chosen(environment=proxy).why == f"{name} names a proxy"
    excepting = {**proxy, "no_proxy": "10.0.0.1, .example.com"}
    assert chosen(environment=excepting).target is None
    assert chosen("a.example.com:1", environment=excepting).target is not None
    own = {**proxy, "no_grpc_proxy": "localhost", "no_proxy": "x"}
    assert chosen(environment=own).target is not None


def test_the_program_has_the_last_word() -> None:
    address = "localhost:4001"
    assert choose("grpcio", address, False, None, None, NATIVE).target is None
    grpcio = {"DURABLETASK_TRANSPORT": "grpcio"}
    assert choose("native", address, False, None, None, grpcio).target is not None
    assert chosen(environment=grpcio) == Choice(None, "chosen by DURABLETASK_TRANSPORT")
    with pytest.raises(ValueError, match="DURABLETASK_TRANSPORT must be one of"):
        chosen(environment={"DURABLETASK_TRANSPORT": "tcp"})
    with pytest.raises(
        ValueError, match=r'transport="native" is not possible: it has interceptors'
    ):
        choose("native", "localhost:4001", False, [object()], None, {})
    with pytest.raises(ValueError, match='transport must be one of "auto", "native", "grpcio"'):
        TaskHubGrpcWorker(transport="tcp")  # type: ignore[arg-type]


def test_roots_are_grpcs_or_those_of_its_variable(tmp_path: Path) -> None:
    assert b"BEGIN CERTIFICATE" in choice.roots({})
    own = tmp_path / "roots.pem"
    own.write_bytes(b"own")
    assert choice.roots({"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(own)}) == b"own"


def said(caplog: pytest.LogCaptureFixture, make: Callable[[str], TaskHubGrpcWorker]) -> list[str]:
    caplog.set_level(logging.DEBUG)
    with FakeSidecar() as sidecar, make(sidecar.address) as worker:
        worker.start()
    return [each.getMessage() for each in caplog.records if "Connecting by" in each.getMessage()]


def test_the_log_says_once_which_transport_it_is(caplog: pytest.LogCaptureFixture) -> None:
    found = said(
        caplog, lambda address: TaskHubGrpcWorker(host_address=address, transport="native")
    )
    assert found == ["Connecting by the native transport: chosen by the program"]


def test_metadata_that_only_grpcio_can_complain_of_is_left_to_it(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DURABLETASK_TRANSPORT", "native")
    metadata = [("user-agent", "mine")]
    found = said(caplog, lambda address: TaskHubGrpcWorker(host_address=address, metadata=metadata))
    assert len(found) == 1
    assert found[0].startswith("Connecting by grpcio: metadata can not have the name")
