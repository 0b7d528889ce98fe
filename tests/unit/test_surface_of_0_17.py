"""Names of durabletask-dapr 0.17 that programs import, beyond those that everything here uses."""

from __future__ import annotations

import json
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest

import durabletask
from durabletask import _core, task, worker
from durabletask.aio import client as aio_client
from durabletask.aio.internal import shared as aio_shared
from durabletask.internal import shared

Pair = namedtuple("Pair", ["left", "right"])  # noqa: PYI024 - programs have them


@dataclass
class Line:
    item: str


def test_the_version_is_the_package_s() -> None:
    assert durabletask.__version__ == _core.__version__


def test_type_variables_and_addresses_are_where_they_were() -> None:
    assert {task.T.__name__, aio_client.TOutput.__name__} == {"T", "TOutput"}
    assert aio_shared.get_default_host_address is shared.get_default_host_address
    assert aio_shared.SECURE_PROTOCOLS is shared.SECURE_PROTOCOLS
    assert aio_shared.INSECURE_PROTOCOLS is shared.INSECURE_PROTOCOLS


@pytest.mark.parametrize("value", [1, [Line("tea")], Pair(1, Line("a")), SimpleNamespace(a=1), {}])
def test_the_json_classes_write_and_read_as_payloads_are(value: Any) -> None:
    text = json.dumps(value, cls=shared.InternalJSONEncoder)
    assert text == shared.to_json(value)
    assert json.loads(text, cls=shared.InternalJSONDecoder) == shared.from_json(text)


def test_the_registry_has_none_for_nothing() -> None:
    assert worker._Registry().get_orchestrator("unknown") == (None, None)


def test_the_tracer_is_made_where_opentelemetry_is_installed() -> None:
    tracer = worker.otel_tracer
    assert tracer is None or hasattr(tracer, "start_as_current_span")
