"""The recorded scenarios end as recorded, whether orchestrators stay alive between turns or not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from durabletask.client import TaskHubGrpcClient
from durabletask.worker import ReplayCacheOptions, TaskHubGrpcWorker

from recordings.scenarios import ACTIVITIES, SCENARIOS
from support.sidecar import sidecar_address

RECORDINGS = Path(__file__).resolve().parents[1] / "recordings"
RECORDED = json.loads((RECORDINGS / "daprd-results.json").read_text())

CACHES = {
    "warm": ReplayCacheOptions(),
    # Parts of histories are left out, as for the warm one, and the rest has to be fetched for every turn.
    "forgetful": ReplayCacheOptions(max_instances=0),
    "cold": None,
}


@pytest.fixture(scope="module", params=CACHES)
def client(request: pytest.FixtureRequest) -> Iterator[TaskHubGrpcClient]:
    with (
        sidecar_address() as address,
        TaskHubGrpcWorker(host_address=address, replay_cache=CACHES[request.param]) as worker,
        TaskHubGrpcClient(host_address=address) as client,
    ):
        orchestrators = {each for scenario in SCENARIOS.values() for each in scenario.orchestrators}
        for orchestrator in orchestrators:
            worker.add_orchestrator(orchestrator)
        for activity in ACTIVITIES:
            worker.add_activity(activity)
        worker.start()
        yield client
        counters = worker.replay_cache_counters
    if request.param == "warm":
        assert counters["hits"] > 0, f"no turn was warm: {counters}"
    elif request.param == "forgetful":
        assert counters["hits"] == 0, f"a turn was warm: {counters}"


def without_ids(result: Any) -> Any:
    """Replace generated instance ids, which differ from run to run."""
    return json.loads(re.sub(r"\b[0-9a-f]{32}\b", "<id>", json.dumps(result)))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_scenario_ends_as_recorded(scenario: str, client: TaskHubGrpcClient) -> None:
    found = []
    for instance_id in SCENARIOS[scenario].drive(client):
        state = client.wait_for_orchestration_completion(instance_id, timeout=60)
        assert state is not None, f"{instance_id} does not exist"
        failure = state.failure_details
        found.append(
            {
                "status": state.runtime_status.name,
                "output": state.serialized_output,
                "failure": failure and [failure.error_type, failure.message],
                "custom_status": state.serialized_custom_status,
            }
        )
    assert without_ids(found) == without_ids(RECORDED[scenario]["result"])
