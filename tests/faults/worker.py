"""A worker process of a run of faults: `python -m faults.worker HOST:PORT`; ends when it is killed."""

from __future__ import annotations

import contextlib
import logging
import signal
import sys

from durabletask.worker import TaskHubGrpcWorker

from faults.kinds import ACTIVITIES, ORCHESTRATORS


def main(address: str) -> None:
    """Serve until the end, however long the sidecar is away at the beginning."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    worker = TaskHubGrpcWorker(host_address=address, stop_timeout=5)
    for orchestrator in ORCHESTRATORS:
        worker.add_orchestrator(orchestrator)
    for activity in ACTIVITIES:
        worker.add_activity(activity)
    while not worker.is_worker_ready():
        with contextlib.suppress(RuntimeError):
            worker.start()
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
