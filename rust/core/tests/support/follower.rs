//! Orchestrators that need no code of their own: one that makes the calls its history confirms, one that makes any calls.

use std::collections::BTreeMap;

use durabletask_core::retry::RetryPolicy;
use durabletask_core::time::Timestamp;
use durabletask_core::wire::{Event, EventType, Request, SubOrchestrationCreated, TaskScheduled};
use durabletask_core::{ActivityCall, Input, SubOrchestrationCall};

use super::host::{Player, orchestrator};
use super::script::{Context, Ended, Raised, Task, Value, any, for_ever};

/// A call that the history confirms.
#[derive(Clone, Debug)]
enum Confirmed {
    Activity(String),
    Sub(String),
    Timer,
}

/// The calls that a request's events confirm, by id.
fn confirmed(request: &Request<'_>) -> BTreeMap<i32, Confirmed> {
    let events = request.past_events().chain(request.new_events()).filter_map(|raw| Event::decode(raw.ok()?).ok());
    events
        .filter_map(|event| {
            let call = match event.event_type {
                EventType::TaskScheduled => {
                    Confirmed::Activity(TaskScheduled::decode(event.body()).ok()?.name.text().ok()?.to_owned())
                }
                EventType::SubOrchestrationInstanceCreated => {
                    Confirmed::Sub(SubOrchestrationCreated::decode(event.body()).ok()?.name.text().ok()?.to_owned())
                }
                EventType::TimerCreated => Confirmed::Timer,
                _ => return None,
            };
            Some((event.id, call))
        })
        .collect()
}

/// An orchestrator that makes all the calls that its history confirms when it starts, and then waits for ever.
pub(crate) fn follower(request: &Request<'_>) -> Player {
    let calls = confirmed(request);
    orchestrator(move |context, _| {
        make(&context, &calls);
        for_ever()
    })
}

fn make(context: &Context, calls: &BTreeMap<i32, Confirmed>) -> Vec<Task> {
    // Ids that the history does not confirm belong to something else; a timer takes their place.
    let last = calls.keys().next_back().copied().unwrap_or_default().min(1_000);
    (1..=last)
        .map(|id| match calls.get(&id) {
            Some(Confirmed::Activity(name)) => context.activity(name),
            Some(Confirmed::Sub(name)) => context.sub(name),
            Some(Confirmed::Timer) | None => context.timer_at(Timestamp::EPOCH),
        })
        .collect()
}

/// An orchestrator that makes arbitrary calls, the same ones on every replay. Every other one begins with the calls that
/// its history confirms, so that it gets beyond the first confirmation.
pub(crate) fn wanderer(request: &Request<'_>, seed: u64) -> Player {
    let calls = if seed.is_multiple_of(2) { confirmed(request) } else { BTreeMap::new() };
    orchestrator(move |context, _| {
        let made = make(&context, &calls);
        wander(context, Dice(seed), made)
    })
}

/// Numbers that look random and are the same for the same seed (xorshift).
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_mul(2).wrapping_add(1);
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn policy(&mut self) -> Option<RetryPolicy> {
        (self.throw(2) == 0).then(|| RetryPolicy {
            first_interval: i64::from_ne_bytes(self.throw(u64::MAX).to_ne_bytes()) >> self.throw(64),
            max_attempts: u32::try_from(self.throw(5)).unwrap_or_default(),
            backoff_coefficient: f64::from_bits(self.throw(u64::MAX)),
            max_interval: (self.throw(2) == 0).then_some(1_000_000),
            timeout: (self.throw(3) == 0).then_some(5_000_000),
            non_retryable_error_types: ["ValueError".into()].into(),
        })
    }
}

async fn wander(context: Context, mut dice: Dice, mut waiting: Vec<Task>) -> Ended {
    let names = ["square", "go", "", "Straße", "a"];
    for _ in 0..dice.throw(200) {
        let name = names[usize::try_from(dice.throw(5)).unwrap_or_default()];
        match dice.throw(16) {
            0..=3 => {
                let call = ActivityCall {
                    name: name.into(),
                    input: Input::Deferred(Value("1")),
                    app_id: None,
                    propagation: None,
                    timeout: None,
                };
                waiting.push(context.call_activity(call, dice.policy().as_ref()));
            }
            4 | 5 => {
                let call = SubOrchestrationCall {
                    name: name.into(),
                    input: Input::None,
                    instance_id: None,
                    app_id: Some(name.into()),
                    propagation: None,
                    timeout: None,
                };
                waiting.push(context.call_sub(call, dice.policy().as_ref()));
            }
            6 => waiting
                .push(context.timer_at(Timestamp::from_micros(i64::from_ne_bytes(dice.throw(u64::MAX).to_ne_bytes())))),
            7 => waiting.push(context.wait(name)),
            8 => waiting.push(context.wait_for(name, i64::try_from(dice.throw(5)).unwrap_or_default())),
            9 => context.set_custom_status(Some(name)),
            10 if dice.throw(2) == 0 => context.send_event("other", name, Input::Deferred(Value("3"))),
            10 => drop(context.guid()),
            11 => drop(context.is_patched(name)),
            12 if dice.throw(8) == 0 => context.continue_as_new(Input::Deferred(Value("2")), dice.throw(2) == 0),
            13 if dice.throw(8) == 0 => {
                return Err(Raised { error_type: "ValueError".to_owned(), message: name.to_owned() });
            }
            _ if !waiting.is_empty() => {
                let done = any(&waiting).await;
                drop(waiting.swap_remove(done).await);
            }
            _ => {}
        }
    }
    Ok(Some(context.now().to_string()))
}
