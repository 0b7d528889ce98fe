"""Names and the functions behind them."""

from __future__ import annotations

from typing import Any

import pytest

from durabletask import worker


def orchestrate(ctx: Any, _: Any) -> str:
    return "plain"


def act(ctx: Any, _: Any) -> str:
    return "done"


@pytest.fixture
def registry() -> worker._Registry:
    return worker._Registry()


def test_functions_are_registered_under_their_names(registry: worker._Registry) -> None:
    assert registry.add_orchestrator(orchestrate) == "orchestrate"
    assert registry.add_activity(act) == "act"
    assert registry.get_orchestrator("orchestrate") == (orchestrate, None)
    assert registry.get_activity("act") is act


def test_unknown_names_have_no_function(registry: worker._Registry) -> None:
    assert registry.get_orchestrator("nobody") == (None, None)
    assert registry.get_activity("nobody") is None


def test_wrong_registrations_are_refused(registry: worker._Registry) -> None:
    missing: Any = None
    with pytest.raises(ValueError, match=r"^An orchestrator function argument is required\.$"):
        registry.add_orchestrator(missing)
    with pytest.raises(ValueError, match=r"^An activity function argument is required\.$"):
        registry.add_activity(missing)
    with pytest.raises(ValueError, match=r"^A non-empty orchestrator name is required\.$"):
        registry.add_named_orchestrator("", orchestrate)
    with pytest.raises(ValueError, match=r"^A non-empty activity name is required\.$"):
        registry.add_named_activity("", act)
    with pytest.raises(ValueError, match="Cannot infer a name from a lambda function"):
        registry.add_activity(lambda ctx, _: None)


@pytest.mark.parametrize("wrong", [5, b"x", ("a", "b")])
def test_names_and_versions_that_are_no_text_are_refused(
    registry: worker._Registry, wrong: Any
) -> None:
    with pytest.raises(TypeError, match="is a str, found"):
        registry.add_orchestrator(orchestrate, name=wrong)
    with pytest.raises(TypeError, match="is a str, found"):
        registry.add_orchestrator(orchestrate, version_name=wrong)
    with pytest.raises(TypeError, match="is a str, found"):
        registry.add_activity(act, name=wrong)
    assert registry.offer() == ([], [])


def test_names_and_versions_that_nobody_can_ask_for_are_refused(
    registry: worker._Registry,
) -> None:
    with pytest.raises(ValueError, match="non-empty orchestrator version"):
        registry.add_orchestrator(orchestrate, version_name="", is_latest=True)
    with pytest.raises(ValueError, match="can not be written as UTF-8"):
        registry.add_activity(act, name="a\ud800")


def test_a_name_is_taken_once(registry: worker._Registry) -> None:
    registry.add_named_orchestrator("x", orchestrate)
    registry.add_named_activity("x", act)
    registry.add_named_orchestrator("y", orchestrate, "v1")
    with pytest.raises(ValueError, match=r"^A 'x' orchestrator already exists\.$"):
        registry.add_named_orchestrator("x", orchestrate)
    with pytest.raises(ValueError, match=r"^A 'x' activity already exists\.$"):
        registry.add_named_activity("x", act)
    message = r"^The version 'v1' of 'y' orchestrator already exists\.$"
    with pytest.raises(ValueError, match=message):
        registry.add_named_orchestrator("y", orchestrate, "v1")


def test_versions_are_found_by_name_or_as_the_latest(registry: worker._Registry) -> None:
    registry.add_named_orchestrator("y", orchestrate, "v1")
    assert registry.get_orchestrator("y") == (None, None)
    registry.add_named_orchestrator("y", orchestrate, "v2", is_latest=True)
    registry.add_named_orchestrator("y", orchestrate, "v3")
    assert registry.get_orchestrator("y") == (orchestrate, "v2")
    assert registry.get_orchestrator("y", "v3") == (orchestrate, "v3")
    with pytest.raises(worker.VersionNotRegisteredException, match=r"'v4'.*v1, v2, v3"):
        registry.get_orchestrator("y", "v4")


def test_an_orchestrator_without_version_hides_versions(registry: worker._Registry) -> None:
    registry.add_named_orchestrator("z", act, "v1", is_latest=True)
    registry.add_named_orchestrator("z", orchestrate)
    assert registry.get_orchestrator("z", "v1") == (orchestrate, None)


def test_default_concurrency_follows_the_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durabletask._worker.options.usable_processors", lambda: 3)
    options = worker.ConcurrencyOptions()
    assert options.maximum_concurrent_activity_work_items == 300
    assert options.maximum_concurrent_orchestration_work_items == 300
    assert options.maximum_thread_pool_workers == 7
    assert worker.ConcurrencyOptions(5).maximum_concurrent_activity_work_items == 5


def test_concurrency_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="maximum_thread_pool_workers must be >= 1, not 0"):
        worker.ConcurrencyOptions(maximum_thread_pool_workers=0)
