//! Between two turns: what an execution that stays alive does without meanwhile, and what it takes.

use super::state::Orchestration;
use crate::host::Host;
use crate::room::Roomy;

impl<H: Host> Orchestration<H> {
    /// Gives back the room that the past needed and that stands empty now. Call it when the execution is kept for another
    /// turn: thousands of them may wait. It costs the same however much the execution keeps.
    ///
    /// Returns what its state takes in bytes, more or less: without what is the host's, and without what does not grow.
    pub fn rest(&mut self) -> usize {
        let parts: [&mut dyn Roomy; 8] = [
            &mut self.tasks,
            &mut self.actions,
            &mut self.waiters,
            &mut self.inbox,
            &mut self.early,
            &mut self.held,
            &mut self.due,
            &mut self.released,
        ];
        let bytes = parts.into_iter().map(|part| {
            part.shrink();
            part.bytes()
        });
        bytes.sum()
    }
}
#[cfg(test)]
mod tests {
    use durabletask_proto as pb;
    use pb::history_event::EventType;
    use pb::prost::Message;

    use crate::action::Input;
    use crate::host::Host;
    use crate::orchestration::{ActivityCall, Orchestration};
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
            let call =
                ActivityCall { name: "a".into(), input: Input::None, app_id: None, propagation: None, timeout: None };
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

    #[test]
    fn resting_costs_the_same_however_much_is_kept() {
        let mut execution = execution();
        for number in 0..100_000 {
            let raised = pb::EventRaisedEvent { name: format!("name-{number}"), input: None };
            apply(&mut execution, -1, EventType::EventRaised(raised));
        }
        let begun = std::time::Instant::now();
        for _ in 0..10_000 {
            execution.rest();
        }
        // Walking over the names once takes a millisecond.
        assert!(begun.elapsed().as_secs() < 2, "10,000 rests took {:?}", begun.elapsed());
    }
}
