//! What an execution holds of its host's, for hosts whose objects can be part of cycles.

use std::sync::Arc;

use super::pending::{Outcome, Pending, Retry};
use super::state::Orchestration;
use crate::action::{Action, Call, Input};
use crate::host::Host;

/// A handle of the host's that an execution holds.
#[derive(Debug)]
pub enum Held<'a, H: Host> {
    /// A task that the history will complete.
    Task(&'a H::Task),
    /// An argument that is not encoded yet.
    Input(&'a H::Input),
}

impl<H: Host> Orchestration<H> {
    /// Shows what the execution holds, no handle twice; an error of `visit` ends it. A call that several of its attempts
    /// share may be left out, since it is held but once.
    ///
    /// # Errors
    /// What `visit` returns.
    pub fn visit_held<E>(&self, visit: &mut impl FnMut(Held<'_, H>) -> Result<(), E>) -> Result<(), E> {
        for (_, action) in self.actions.iter() {
            match action {
                Action::Call(call) => visit_input(&call.input, visit)?,
                // Otherwise it is shown with the task that may send it again.
                Action::RetryableCall(call) if Arc::strong_count(call) == 1 => visit_input(&call.input, visit)?,
                Action::SendEvent(event) => visit_input(&event.data, visit)?,
                Action::RetryableCall(_) | Action::CreateTimer(_) => {}
            }
        }
        for pending in self.tasks.values() {
            match pending {
                Pending::Activity(task, _) | Pending::SubOrchestration(task) | Pending::Timer(task, _) => {
                    visit(Held::Task(task))?;
                }
                Pending::Retryable(retry) | Pending::RetryTimer(retry) => {
                    let retry: &Retry<H> = retry;
                    let call: &Call<H> = &retry.call;
                    visit(Held::Task(&retry.task))?;
                    visit_input(&call.input, visit)?;
                }
                Pending::EventTimer(_) | Pending::CallTimer(_) => {}
            }
        }
        for task in self.waiters.tasks() {
            visit(Held::Task(task))?;
        }
        match &self.outcome {
            Some(Outcome::ContinuedAsNew { input, .. }) => visit_input(input, visit),
            _ => Ok(()),
        }
    }
}

fn visit_input<H: Host, E>(
    input: &Input<H::Input>,
    visit: &mut impl FnMut(Held<'_, H>) -> Result<(), E>,
) -> Result<(), E> {
    match input {
        Input::Deferred(value) => visit(Held::Input(value)),
        Input::None | Input::Encoded(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Arc;

    use super::Held;
    use crate::action::Input;
    use crate::host::Host;
    use crate::orchestration::{ActivityCall, Orchestration, Until};
    use crate::retry::RetryPolicy;
    use crate::time::Timestamp;

    #[derive(Debug)]
    struct Letters;

    impl Host for Letters {
        type Task = char;
        type Input = char;
    }

    fn held(execution: &Orchestration<Letters>) -> String {
        let mut all = Vec::new();
        let Ok(()) = execution.visit_held::<Infallible>(&mut |held| {
            all.push(match held {
                Held::Task(task) => *task,
                Held::Input(input) => *input,
            });
            Ok(())
        });
        all.sort_unstable();
        all.into_iter().collect()
    }

    fn call(input: char) -> ActivityCall<char> {
        ActivityCall { name: "a".into(), input: Input::Deferred(input), app_id: None, propagation: None, timeout: None }
    }

    #[test]
    fn tasks_and_arguments_are_shown_once_each() {
        let mut execution = Orchestration::<Letters>::new("abc");
        execution.call_activity(call('A'), None, 'a');
        let policy = RetryPolicy {
            first_interval: 1,
            max_attempts: 3,
            backoff_coefficient: 1.0,
            max_interval: None,
            timeout: None,
            non_retryable_error_types: std::collections::BTreeSet::new(),
        };
        execution.call_activity(call('B'), Some(Arc::new(policy)), 'b');
        execution.create_timer(Timestamp::from_micros(5), 'c');
        execution.send_event("other".into(), "go".into(), Input::Deferred('D'));
        execution.wait_for_external_event("go", Until::End, None, 'e');
        assert_eq!(held(&execution), "ABDabce");
        execution.continue_as_new(Input::Deferred('F'), false);
        assert_eq!(held(&execution), "BFabce", "the retry still has what it would send again");
    }
}
