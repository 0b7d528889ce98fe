//! Recorded histories against code that does, or does not, what they say.

use durabletask_core::check::{Check, Finding, Next};
use durabletask_core::history::Recorded;
use durabletask_core::{ActivityCall, Error, Host, Input, Orchestration, Step};
use durabletask_proto as pb;
use pb::history_event::EventType;
use pb::orchestrator_action::OrchestratorActionType;

use crate::support::history::{History, failure, history};

#[derive(Debug)]
struct Ids;

impl Host for Ids {
    type Task = i32;
    type Input = ();
}

type Code = Orchestration<Ids>;

fn call(code: &mut Code, name: &str) {
    let call = ActivityCall { name: name.into(), input: Input::None, app_id: None, propagation: None, timeout: None };
    let id = code.sequence() + 1;
    code.call_activity(call, None, id);
}

/// Replays a history with code that is told of its start, as call 0, and of each of its calls that completes.
fn check(turns: &History, run: fn(&mut Code, i32)) -> Result<(), Finding> {
    let bytes = turns.bytes();
    let history = Recorded::decode(&bytes).expect("a history that was built can be read");
    let mut code = Code::new(&history.instance_id);
    let mut check = Check::new(&history);
    for (index, event) in history.events.iter().enumerate() {
        match check.before(index, event, &code)? {
            Next::Skip => continue,
            Next::Apply => {}
            Next::End => {
                let Some(recorded) = check.ends(index, event, &code)? else { return Ok(()) };
                let response = code.response("", |()| Ok::<_, Error>(String::new())).expect("nothing is encoded");
                let Some(OrchestratorActionType::CompleteOrchestration(today)) =
                    response.actions.into_iter().find_map(|action| action.orchestrator_action_type)
                else {
                    panic!("code that has ended says so")
                };
                return check.compare(index, event, recorded, today);
            }
        }
        match code.apply(event) {
            Ok(Step::Start(_)) => run(&mut code, 0),
            Ok(Step::Complete(id, _)) => run(&mut code, id),
            Ok(_) => {}
            Err(Error::NonDeterminism(parted)) => return Err(Check::parted(index, &parted)),
            Err(error) => panic!("{error}"),
        }
        if let Some(raised) = raised(&mut code) {
            check.failed(index, raised);
        }
    }
    check.after_all(&code)
}

/// Code that is to fail asks for an activity of this name, which no history knows.
fn raised(code: &mut Code) -> Option<pb::TaskFailureDetails> {
    if !code.unconfirmed().any(|(_, call)| call.name.as_deref() == Some("raise")) {
        return None;
    }
    let details = failure("ValueError", "no");
    code.fail(details.clone());
    Some(details)
}

/// Calls `a`, then `b`, then ends.
fn two_steps(code: &mut Code, completed: i32) {
    match completed {
        0 => call(code, "a"),
        1 => call(code, "b"),
        _ => code.complete(None),
    }
}

fn fails_after_one(code: &mut Code, completed: i32) {
    call(code, if completed == 0 { "a" } else { "raise" });
}

fn one_step() -> History {
    history("i").started("o").scheduled(1, "a").new_turn().completed(1, None)
}

fn both_steps() -> History {
    one_step().scheduled(2, "b").turn().completed(2, None)
}

fn ended(turns: History, status: pb::OrchestrationStatus, details: Option<pb::TaskFailureDetails>) -> History {
    turns.event(EventType::ExecutionCompleted(pb::ExecutionCompletedEvent {
        orchestration_status: status as i32,
        failure_details: details,
        ..Default::default()
    }))
}

#[track_caller]
fn parts(found: Result<(), Finding>, index: usize, id: Option<i32>, text: &str) {
    let finding = found.expect_err("code and history part");
    assert_eq!((finding.event_index, finding.event_id), (index, id), "{}", finding.message);
    assert!(finding.message.contains(text), "{text:?} is missing in: {}", finding.message);
}

#[test]
fn code_that_does_what_the_history_says_passes() {
    assert_eq!(check(&one_step(), two_steps), Ok(()));
    assert_eq!(check(&ended(both_steps(), pb::OrchestrationStatus::Completed, None), two_steps), Ok(()));
}

#[test]
fn another_call_than_the_history_has_is_found_where_it_is_confirmed() {
    let turns = history("i").started("o").scheduled(1, "other").new_turn();
    parts(check(&turns, two_steps), 2, Some(1), "called call_activity('other')");
}

#[test]
fn a_call_that_the_history_does_not_have_is_found_when_the_turn_is_over() {
    fn one_more(code: &mut Code, completed: i32) {
        two_steps(code, completed);
        if completed == 0 {
            call(code, "more");
        }
    }
    parts(check(&one_step(), one_more), 3, Some(2), "the current code called call_activity('more') with ID=2");
}

#[test]
fn code_that_ends_early_is_found_by_what_comes_after() {
    fn ends_after_one(code: &mut Code, completed: i32) {
        if completed == 0 { call(code, "a") } else { code.complete(None) }
    }
    parts(check(&both_steps(), ends_after_one), 5, Some(2), "a previous execution went on with");
}

#[test]
fn code_that_goes_on_after_the_end_is_found_there() {
    let turns = ended(one_step(), pb::OrchestrationStatus::Completed, None);
    parts(
        check(&turns, two_steps),
        5,
        Some(-1),
        "a previous execution ended as COMPLETED, but the current code goes on",
    );
}

#[test]
fn code_that_fails_passes_where_the_history_failed_alike() {
    let same = ended(one_step(), pb::OrchestrationStatus::Failed, Some(failure("ValueError", "no")));
    assert_eq!(check(&same, fails_after_one), Ok(()));
    let other = ended(one_step(), pb::OrchestrationStatus::Failed, Some(failure("KeyError", "no")));
    let finding = check(&other, fails_after_one).expect_err("the failures differ");
    assert!(finding.failed && finding.message.contains("where the history ends with KeyError: no"), "{finding:?}");
}

#[test]
fn code_that_fails_where_the_history_goes_on_is_found_at_the_event_that_it_failed_at() {
    let finding = check(&both_steps(), fails_after_one).expect_err("the history goes on");
    assert!(finding.failed, "{finding:?}");
    parts(Err(finding), 4, None, "where the history goes on, with ValueError: no");
}

#[test]
fn a_turn_that_stalled_may_leave_calls_open() {
    let stalled = history("i").started("o").event(EventType::ExecutionStalled(pb::ExecutionStalledEvent::default()));
    let turns = stalled.turn().scheduled(1, "a").new_turn();
    assert_eq!(check(&turns, two_steps), Ok(()));
}
