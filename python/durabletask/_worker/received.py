"""A work item as it came in, and where its answer goes."""

from __future__ import annotations

from typing import Any

from durabletask import _core
from durabletask._worker.connection import Connection


class Received:
    """A work item, and the connection it has to be answered on; `data` is kept for turns only."""

    __slots__ = ("connection", "data", "item")

    def __init__(self, connection: Connection, item: _core.WorkItem, data: bytes):
        self.connection = connection
        self.item = item
        self.data = data

    @property
    def subject(self) -> str:
        """What the log calls it."""
        if self.item.kind == "activity":
            return f"activity '{self.item.name}#{self.item.task_id}' of '{self.item.instance_id}'"
        return f"a turn of '{self.item.instance_id}'"

    @property
    def fields(self) -> dict[str, Any]:
        """What records about it have, for formatters."""
        item = self.item
        if item.kind == "activity":
            return {
                "instance_id": item.instance_id,
                "activity": item.name,
                "task_id": item.task_id,
            }
        return {"instance_id": item.instance_id}


def malformed(problem: str) -> list[_core.FailureLink]:
    """The failure that answers a work item which can not be read."""
    return [("ValueError", f"The work item is malformed: {problem}", None, False)]
