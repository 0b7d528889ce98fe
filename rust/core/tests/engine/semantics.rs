//! Following the engines inside Dapr's SDK, where they decide otherwise than 0.17: every wait for an event takes an id.

use durabletask_core::semantics::Semantics;
use durabletask_proto as pb;
use pb::create_timer_action::Origin;
use pb::history_event::EventType;
use pb::orchestrator_action::OrchestratorActionType;

use crate::support::answer::{Answer, answer};
use crate::support::history::{History, at, failure, history};
use crate::support::host::{Player, orchestrator};
use crate::support::script::{Context, Ended, for_ever};

/// What the timer of a wait without an end is created for: the last moment there is.
const NEVER: pb::prost_types::Timestamp = pb::prost_types::Timestamp { seconds: 253_402_300_799, nanos: 999_999_999 };

trait Never {
    fn waits(self, id: i32, event: &str) -> Self;
}

impl Never for Answer {
    fn waits(self, id: i32, event: &str) -> Self {
        self.bounds_wait(id, at(0), event).last(|action| {
            let Some(OrchestratorActionType::CreateTimer(timer)) = &mut action.orchestrator_action_type else { return };
            (timer.fire_at, timer.name) = (Some(NEVER), None);
        })
    }
}

impl Never for History {
    fn waits(self, id: i32, event: &str) -> Self {
        let origin =
            pb::timer_created_event::Origin::ExternalEvent(pb::TimerOriginExternalEvent { name: event.into() });
        self.timer_created(id, at(0)).last(|created| {
            let Some(EventType::TimerCreated(timer)) = &mut created.event_type else { return };
            (timer.fire_at, timer.origin) = (Some(NEVER), Some(origin));
        })
    }
}

fn dapr<F, Fut>(function: F) -> Player
where
    F: Fn(Context, Option<String>) -> Fut + 'static,
    Fut: Future<Output = Ended> + 'static,
{
    orchestrator(function).following(Semantics::Dapr1_19)
}

async fn waits_then_calls(context: Context, _: Option<String>) -> Ended {
    context.wait("Go").await?;
    Ok(context.activity("a").await?)
}

#[test]
fn a_wait_without_an_end_has_a_timer_that_never_fires() {
    let turns = history("i").started("o");
    dapr(waits_then_calls).play(&turns).gives(answer(&turns).waits(1, "Go"));
}

#[test]
fn a_call_after_the_wait_has_the_id_after_its_timer() {
    let turns = history("i").started("o").waits(1, "Go").new_turn().raised("go", "1");
    dapr(waits_then_calls).play(&turns).gives(answer(&turns).schedules_at(at(1), 2, "a", 0));
}

#[test]
fn a_history_without_such_timers_goes_on_under_its_own_ids() {
    let turns = history("i").started("o").turn().raised("go", "1").scheduled(1, "a").new_turn().completed(1, "7");
    dapr(waits_then_calls).play(&turns).gives(answer(&turns).completes(2, "7"));
}

#[test]
fn all_waits_before_a_confirmed_call_are_taken_back() {
    async fn many(context: Context, _: Option<String>) -> Ended {
        let (first, second) = (context.wait("x"), context.wait("y"));
        let timer = context.timer(9);
        first.await?;
        second.await?;
        timer.await?;
        Ok(context.sub("s").await?)
    }
    let turns = history("i").started("o").timer_created(1, at(9)).turn().raised("x", None).raised("y", None);
    let turns = turns.turn().timer_fired(1, at(9)).sub_created(2, "s").new_turn().sub_completed(2, "7");
    dapr(many).play(&turns).gives(answer(&turns).completes(3, "7"));
}

#[test]
fn a_bounded_wait_is_found_by_its_timer_after_ids_have_moved_up() {
    async fn bounded(context: Context, _: Option<String>) -> Ended {
        let forever = context.wait("x");
        context.wait_for("y", 5).await?;
        Ok(forever.await?)
    }
    let turns = history("i").started("o").timer_created(1, at(5)).new_turn().timer_fired(1, at(5));
    let over = "i: the external event 'y' did not arrive within its timeout of 5 s, until 2026-01-01T00:00:05 UTC";
    dapr(bounded).play(&turns).gives(answer(&turns).fails(2, failure("TaskFailedError", over)));
}

#[test]
fn the_timer_of_a_wait_that_the_code_no_longer_makes_changes_nothing() {
    let turns = history("i").started("o").waits(1, "Go").scheduled(1, "a").new_turn().completed(1, "7");
    dapr(async |context, _| Ok(context.activity("a").await?)).play(&turns).gives(answer(&turns).completes(2, "7"));
}

#[test]
fn a_wait_whose_end_has_passed_has_a_timer_too() {
    let turns = history("i").started("o");
    let turn = dapr(async |context, _| {
        context.wait_for("Go", -5).await?;
        for_ever().await
    });
    let expected = answer(&turns).bounds_wait(1, at(-5), "Go").last(|action| {
        let Some(OrchestratorActionType::CreateTimer(timer)) = &mut action.orchestrator_action_type else { return };
        assert!(matches!(timer.origin, Some(Origin::ExternalEvent(_))));
        timer.name = None;
    });
    turn.play(&turns).gives(expected);
}

#[test]
fn under_0_17_a_wait_takes_no_id() {
    let turns = history("i").started("o").new_turn().raised("go", "1");
    orchestrator(waits_then_calls).play(&turns).gives(answer(&turns).schedules_at(at(1), 1, "a", 0));
}
