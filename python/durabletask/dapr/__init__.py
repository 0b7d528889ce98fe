"""Puts this engine under Dapr's own SDK: `dapr.ext.workflow` stays as it is, and what runs below it is this package.

    import durabletask.dapr  # before anything of dapr.ext.workflow
    from dapr.ext.workflow import WorkflowRuntime, DaprWorkflowClient

or, without touching the program, `python -m durabletask.dapr program.py`. Without the import nothing changes: for those
who do not ask for it, this package and Dapr's SDK know nothing of each other.

Dapr's SDK has its engine inside, as `dapr.ext.workflow._durabletask`. Four modules of it, `task`, `worker`, `client`
and `aio.client`, are found in `durabletask.dapr.engine` once this module has been imported. Nothing else is replaced.

Importing it raises:
    ImportError: Dapr's SDK is not installed, or in a version that this package does not know.
    RuntimeError: `dapr.ext.workflow` has been imported before, with its own engine.
"""

from __future__ import annotations

from durabletask.dapr import _install

__all__ = ["active"]

_install.install()


def active() -> bool:
    """Whether `dapr.ext.workflow` runs on this engine, or will, if it has not been imported yet."""
    return _install.is_installed()
