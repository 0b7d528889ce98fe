"""Durable orchestrations in ordinary Python.

Importing this package does nothing: no thread, channel, event loop or log handler exists before a
worker or client is made.

- `durabletask.task`: what orchestrators and activities are written against.
- `durabletask.worker`: runs them.
- `durabletask.client`, `durabletask.aio`: start, watch and steer orchestrations.
- `durabletask.sidecar`: the embedded sidecar, for tests, development and single-machine use.
- `durabletask.testing`: orchestrations in tests, with a time that passes by itself.
- `durabletask.replay`: runs today's code against recorded histories.
"""

from __future__ import annotations

__all__ = ["PACKAGE_NAME", "__version__"]

PACKAGE_NAME = "durabletask"

__version__: str


def __getattr__(name: str) -> str:
    """The version, read from the extension module when it is asked for."""
    if name == "__version__":
        from durabletask import _core

        return _core.__version__
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
