//! Between two turns: what an execution that stays alive does without meanwhile, and what it takes.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash};

use super::{Host, Orchestration, Waiting};

/// A container with room for so few is left as it is: the next turn needs it again.
pub(crate) const LITTLE_ROOM: usize = 64;

/// Something that holds on to the room that it once needed.
pub(crate) trait Roomy {
    /// Gives room back, if much of it is empty.
    fn shrink(&mut self);
    /// What it takes in bytes, without what its elements point to.
    fn bytes(&self) -> usize;
}

fn much_is_empty(length: usize, capacity: usize) -> bool {
    capacity > LITTLE_ROOM && length < capacity / 2
}

impl<T> Roomy for VecDeque<T> {
    fn shrink(&mut self) {
        if much_is_empty(self.len(), self.capacity()) {
            self.shrink_to_fit();
        }
    }

    fn bytes(&self) -> usize {
        self.capacity() * size_of::<T>()
    }
}

impl<K: Eq + Hash, V, S: BuildHasher> Roomy for HashMap<K, V, S> {
    fn shrink(&mut self) {
        if much_is_empty(self.len(), self.capacity()) {
            self.shrink_to_fit();
        }
    }

    fn bytes(&self) -> usize {
        self.capacity() * size_of::<(K, V)>()
    }
}

impl<H: Host> Orchestration<H> {
    /// Gives back the room that the past needed and that stands empty now. Call it when the execution is kept for another
    /// turn: thousands of them may wait.
    ///
    /// Returns what its state takes in bytes, more or less: without what is the host's, and without what does not grow.
    pub fn rest(&mut self) -> usize {
        self.tasks.shrink();
        self.actions.shrink();
        self.waiters.shrink();
        self.buffered.shrink();
        for queue in [&mut self.held, &mut self.due, &mut self.released] {
            queue.shrink();
        }
        self.tasks.bytes() + self.actions.bytes() + self.waiters.bytes() + self.bytes_of_events()
    }

    /// Events that are kept until somebody asks for them.
    fn bytes_of_events(&self) -> usize {
        let waiting =
            |events: &VecDeque<Waiting>| events.bytes() + events.iter().map(|event| event.bytes.len()).sum::<usize>();
        let queues: usize = [&self.held, &self.due, &self.released].into_iter().map(waiting).sum();
        let early: usize = self.early.values().flatten().map(|event| size_of::<Waiting>() + event.bytes.len()).sum();
        let buffered = self.buffered.values().map(|buffered| {
            let payloads = buffered.payloads.iter().flatten();
            buffered.payloads.bytes() + payloads.map(|payload| payload.len()).sum::<usize>()
        });
        queues + early + self.buffered.bytes() + buffered.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use durabletask_proto as pb;
    use pb::history_event::EventType;
    use pb::prost::Message;

    use super::super::ActivityCall;
    use super::{Host, Orchestration};
    use crate::action::Input;
    use crate::wire::{Event, Span};

    #[derive(Debug)]
    struct Numbers;

    impl Host for Numbers {
        type Task = i32;
        type Input = ();
    }

    fn execution() -> Orchestration<Numbers> {
        let mut execution = Orchestration::new("abc");
        execution.started = true;
        execution
    }

    fn apply(execution: &mut Orchestration<Numbers>, event_id: i32, event_type: EventType) {
        let event = pb::HistoryEvent { event_id, event_type: Some(event_type), ..Default::default() }.encode_to_vec();
        let event = Event::decode(Span::whole(&event)).unwrap();
        execution.apply(&event).unwrap();
    }

    fn call(execution: &mut Orchestration<Numbers>, ids: std::ops::RangeInclusive<i32>) {
        for id in ids {
            let call = ActivityCall { name: "a".into(), input: Input::None, app_id: None, propagation: None };
            execution.call_activity(call, None, id);
        }
    }

    fn scheduled(execution: &mut Orchestration<Numbers>, id: i32) {
        let scheduled = pb::TaskScheduledEvent { name: "a".to_owned(), ..Default::default() };
        apply(execution, id, EventType::TaskScheduled(scheduled));
    }

    fn completed(execution: &mut Orchestration<Numbers>, id: i32) {
        let completed = pb::TaskCompletedEvent { task_scheduled_id: id, ..Default::default() };
        apply(execution, -1, EventType::TaskCompleted(completed));
    }

    #[test]
    fn what_many_calls_needed_is_given_back_when_they_are_over() {
        let mut execution = execution();
        call(&mut execution, 1..=10_000);
        let called = execution.rest();
        assert!(called > 10_000 * 16, "10,000 calls are said to take {called} bytes");
        (1..=10_000).for_each(|id| scheduled(&mut execution, id));
        let confirmed = execution.rest();
        assert!(confirmed < called, "{confirmed} bytes for tasks alone, {called} with their actions");
        (1..=10_000).for_each(|id| completed(&mut execution, id));
        let over = execution.rest();
        assert!(over < 8_192, "{over} bytes are kept for calls that are over");
    }

    #[test]
    fn a_call_among_many_that_are_over_is_still_waited_for() {
        let mut execution = execution();
        call(&mut execution, 1..=1_000);
        (1..=1_000).for_each(|id| scheduled(&mut execution, id));
        (1..=1_000).filter(|id| *id != 500).for_each(|id| completed(&mut execution, id));
        execution.rest();
        assert_eq!(execution.outstanding(), (1, 0));
        completed(&mut execution, 500);
        assert_eq!(execution.outstanding(), (0, 0));
    }

    #[test]
    fn events_that_wait_are_counted() {
        let mut execution = execution();
        let empty = execution.rest();
        let raised = pb::EventRaisedEvent { name: "go".to_owned(), input: Some("x".repeat(100_000)) };
        apply(&mut execution, -1, EventType::EventRaised(raised));
        assert!(execution.rest() - empty >= 100_000);
        apply(&mut execution, -1, EventType::ExecutionSuspended(pb::ExecutionSuspendedEvent::default()));
        let suspended = execution.rest();
        let raised = pb::EventRaisedEvent { name: "on".to_owned(), input: Some("x".repeat(50_000)) };
        apply(&mut execution, -1, EventType::EventRaised(raised));
        assert!(execution.rest() - suspended >= 50_000);
    }
}
