//! The workloads: each a history and the orchestrator that lived through it. A step is one call, timer or event.

use std::sync::Arc;

use durabletask_core::retry::RetryPolicy;
use durabletask_core::time::Timestamp;
use durabletask_core::{ActivityCall, Input, Until, Wait};

use crate::history::History;
use crate::host::{Engine, Orchestrator};

/// What is replayed, and by whom.
#[derive(Debug)]
pub struct Workload {
    /// As in the table of results.
    pub name: &'static str,
    story: fn(&mut History, u32),
    kind: Kind,
}

/// All of them.
pub const WORKLOADS: &[Workload] = &[
    Workload { name: "chain", story: chain, kind: Kind::Chain },
    Workload { name: "fan_out", story: fan_out, kind: Kind::FanOut },
    Workload { name: "timers", story: timers, kind: Kind::Timers },
    Workload { name: "events", story: events, kind: Kind::Events },
    Workload { name: "retries", story: retries, kind: Kind::Retries },
];

/// How many results of a fan-out arrive together.
const COMPLETIONS_PER_TURN: usize = 10;
/// Microseconds.
const DELAY: i64 = 250_000;
/// Microseconds.
const PAUSE: i64 = 50_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Chain,
    FanOut,
    Timers,
    Events,
    Retries,
}

impl Workload {
    /// The serialized request for an orchestrator's last turn, with a history of so many steps.
    #[must_use]
    pub fn request(&self, steps: u32) -> Vec<u8> {
        let mut history = History::new();
        (self.story)(&mut history, steps);
        history.encode()
    }

    pub(crate) fn orchestrator(&self, steps: u32) -> Box<dyn Orchestrator> {
        let name: Arc<str> = if self.kind == Kind::Events { "progress" } else { "activity" }.into();
        let policy = Arc::new(RetryPolicy {
            first_interval: PAUSE,
            max_attempts: 3,
            backoff_coefficient: 1.0,
            max_interval: None,
            timeout: None,
            non_retryable_error_types: [].into(),
        });
        Box::new(Steps { kind: self.kind, name, policy, made: 0, completed: 0, all: steps })
    }
}

/// Takes its steps one after the other or, for a fan-out, all at once, and completes after the last.
struct Steps {
    kind: Kind,
    name: Arc<str>,
    policy: Arc<RetryPolicy>,
    made: u32,
    completed: u32,
    all: u32,
}

impl Steps {
    fn step(&mut self, engine: &mut Engine) {
        let task = self.made;
        self.made += 1;
        match self.kind {
            Kind::Timers => engine.create_timer(after(engine.now(), DELAY), task),
            Kind::Events => {
                let wait = engine.wait_for_external_event(&self.name, Until::End, None, task);
                assert_eq!(wait, Wait::Pending, "an event came before it was waited for");
            }
            Kind::Chain | Kind::FanOut | Kind::Retries => {
                let input = Input::Deferred(task);
                let call = ActivityCall {
                    name: Arc::clone(&self.name),
                    input,
                    app_id: None,
                    propagation: None,
                    timeout: None,
                };
                let retry = (self.kind == Kind::Retries).then(|| Arc::clone(&self.policy));
                engine.call_activity(call, retry, task);
            }
        }
    }
}

impl Orchestrator for Steps {
    fn start(&mut self, engine: &mut Engine) {
        let at_once = if self.kind == Kind::FanOut { self.all } else { 1 };
        for _ in 0..at_once {
            self.step(engine);
        }
    }

    fn resume(&mut self, engine: &mut Engine, _: u32) {
        self.completed += 1;
        if self.completed == self.all {
            engine.complete(Some(self.completed.to_string()));
        } else if self.made < self.all {
            self.step(engine);
        }
    }
}

fn after(time: Timestamp, micros: i64) -> Timestamp {
    time.checked_add(micros).expect("a time in this century")
}

fn chain(history: &mut History, steps: u32) {
    for _ in 0..steps {
        let id = history.call();
        history.turn().completed(id);
    }
}

fn fan_out(history: &mut History, steps: u32) {
    let ids: Vec<_> = (0..steps).map(|_| history.call()).collect();
    for together in ids.chunks(COMPLETIONS_PER_TURN) {
        history.turn();
        for id in together {
            history.completed(*id);
        }
    }
}

fn timers(history: &mut History, steps: u32) {
    for _ in 0..steps {
        wait(history, DELAY);
    }
}

fn events(history: &mut History, steps: u32) {
    for _ in 0..steps {
        history.turn().raised("progress");
    }
}

fn retries(history: &mut History, steps: u32) {
    for _ in 0..steps {
        let id = history.call();
        history.turn().failed(id);
        wait(history, PAUSE);
        let id = history.call();
        history.turn().completed(id);
    }
}

fn wait(history: &mut History, micros: i64) {
    let fire_at = after(history.now(), micros);
    let id = history.timer(fire_at);
    history.turn().fired(id, fire_at);
}
