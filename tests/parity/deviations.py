"""Where this package differs from 0.17.4 on purpose: rows of the README's table, and nothing else.

That is where 0.17.4 hangs, fails, loses or changes data, or does a thing twice or for nothing. Wherever
its answer does no harm, this package gives the same.

Each kind has a correction of 0.17.4 in `corrections.py`. A difference between the two engines is one of
these deviations if and only if 0.17.4 with the corrections gives exactly our response.
"""

from __future__ import annotations

KINDS: dict[str, str] = {
    "first_task_complete": "the first task that is yielded is complete already: 0.17.4 hangs",
    "first_yield_no_task": "the first yield is no task: 0.17.4 hangs",
    "failed_when_all": (
        "a child of when_all fails: 0.17.4 tells no parent, and fails the orchestration when the last "
        "child fails or another completes later"
    ),
    "task_in_composites": "a task in two composites, or twice in one: 0.17.4 tells only the last",
    "completed_before_when_all": (
        "when_all of tasks of which some have completed: 0.17.4 forgets these and hangs"
    ),
    "retry_timeout": (
        "0.17.4 compares retry_timeout with the wall clock, and only before the pause, not after it"
    ),
    "falsy_carried_event": "0.17.4 drops the payload of a carried event that is falsy",
    "rewritten_carried_event": (
        "0.17.4 decodes the payload of a carried event and encodes it again, which can change numbers"
    ),
    "early_completion": "0.17.4 drops a completion whose call the code has not made yet",
    "stale_completion": (
        "a completion that the execution before has left over comes under the id of another call: "
        "0.17.4 completes that call with it"
    ),
    "completed_retry_pause": (
        "a completion under the id of a pause between attempts: 0.17.4 makes no further attempt"
    ),
    "event_without_effect": "0.17.4 fails for history events that need no handling",
    "nested_named_fields": (
        "named tuples inside other values and dataclasses inside dataclasses: 0.17.4 loses the names, "
        "or the marker"
    ),
    "action_after_end": (
        "events after the end, in the same turn: 0.17.4 adds actions to the completion, or leaves out "
        "what follows the first event that resumes, if the last task had failed"
    ),
    "suspended_twice": "suspended twice, resumed once: 0.17.4 stays suspended, or loops for ever",
    "confirmed_while_suspended": (
        "actions are confirmed after the suspension: 0.17.4 sends them again in every turn until resumed"
    ),
    "event_after_continue_as_new": (
        "an event arrives after continue_as_new(save_events=True): 0.17.4 gives it to a task that the "
        "old execution waits for, where it is lost"
    ),
    "patch_while_suspended": (
        "a turn that resumes reports a patch: 0.17.4 replays what waited before it without the patch"
    ),
    "ended_before_history": (
        "the code was changed, ends, and the history goes on with a call that it did not make: 0.17.4 "
        "answers with the completion, or with no action, and is not heard of again"
    ),
    "status_of_an_early_failure": (
        "a turn fails while it is replayed: 0.17.4 reports the custom status that the replay had reached, "
        "in place of the last one"
    ),
    "unwritable_result": (
        "a result that has no JSON form: 0.17.4 answers with no action; new input that has none: with "
        "a failure under id -1"
    ),
}
