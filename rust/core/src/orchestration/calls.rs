//! The calls that a program makes on its context: which ids they take, what they ask for, which tasks wait for them.

use std::sync::Arc;

use durabletask_proto::HistoryPropagationScope;

use super::pending::{Outcome, Pending, Retry};
use super::state::Orchestration;
use crate::action::{Action, Call, Input, Name, SentEvent, Target, Timer, TimerOrigin};
use crate::error::Method;
use crate::host::Host;
use crate::ids::{ExecutionMark, GuidSeed};
use crate::retry::RetryPolicy;
use crate::time::Timestamp;

/// Arguments of `call_activity` beside the retry policy.
#[derive(Debug)]
pub struct ActivityCall<I> {
    /// The activity.
    pub name: Name,
    /// Its argument.
    pub input: Input<I>,
    /// The application that runs it, if not this one.
    pub app_id: Option<Arc<str>>,
    /// How much of the caller's history it is shown.
    pub propagation: Option<HistoryPropagationScope>,
    /// How long it may take, in microseconds; with a retry policy, each attempt.
    pub timeout: Option<i64>,
}

/// Arguments of `call_sub_orchestrator` beside the retry policy.
#[derive(Debug)]
pub struct SubOrchestrationCall<I> {
    /// The orchestrator.
    pub name: Name,
    /// Its argument.
    pub input: Input<I>,
    /// Its instance id; by default one made from the parent's.
    pub instance_id: Option<Arc<str>>,
    /// The application that runs it, if not this one.
    pub app_id: Option<Arc<str>>,
    /// How much of the caller's history it is shown.
    pub propagation: Option<HistoryPropagationScope>,
    /// How long it may take, in microseconds; with a retry policy, each attempt.
    pub timeout: Option<i64>,
}

impl<H: Host> Orchestration<H> {
    /// Draws the next deterministic id.
    pub fn next_guid(&mut self) -> GuidSeed {
        let seed = GuidSeed { at: self.now, count: self.guids };
        self.guids = self.guids.wrapping_add(1);
        seed
    }

    /// Schedules an activity; `task` is completed by the history.
    pub fn call_activity(&mut self, call: ActivityCall<H::Input>, retry: Option<Arc<RetryPolicy>>, task: H::Task) {
        let id = self.next_id();
        let target = Target::Activity { execution: self.next_guid() };
        let ActivityCall { name, input, app_id, propagation, timeout } = call;
        self.schedule(id, Call { name, input, app_id, target, propagation }, timeout, retry, task);
    }

    /// Starts a sub-orchestration; `task` is completed by the history.
    pub fn call_sub_orchestration(
        &mut self,
        call: SubOrchestrationCall<H::Input>,
        retry: Option<Arc<RetryPolicy>>,
        task: H::Task,
    ) {
        let id = self.next_id();
        let SubOrchestrationCall { name, input, instance_id, app_id, propagation, timeout } = call;
        let target = Target::SubOrchestration { instance_id, first_action: id };
        self.schedule(id, Call { name, input, app_id, target, propagation }, timeout, retry, task);
    }

    /// Creates a durable timer; `task` is completed when it fires.
    pub fn create_timer(&mut self, fire_at: Timestamp, task: H::Task) {
        self.add_timer(fire_at, TimerOrigin::CreateTimer, Pending::Timer(task, Some(fire_at)));
    }

    /// Counts a call that could not be made because its arguments are wrong. It takes the id that it would have had, since
    /// code that goes on after it does so under the ids that come next.
    pub fn reject_call(&mut self, method: Method) {
        self.next_id();
        if method == Method::CallActivity {
            self.next_guid();
        }
    }

    /// Raises an external event on another instance. Nobody is told what becomes of it.
    pub fn send_event(&mut self, instance_id: Arc<str>, name: Name, data: Input<H::Input>) {
        let id = self.next_id();
        let action = Action::SendEvent(SentEvent { instance_id, name, data });
        if !self.replaying && matches!(self.outcome, Some(Outcome::ContinuedAsNew { .. })) {
            // Code that goes on after continue_as_new still belongs to this execution, and no other sends the event.
            self.actions.insert(id, action);
        } else {
            self.add_action(id, action);
        }
    }

    /// Whether code behind this patch may run: always if the history lists it, never if an earlier turn got past this
    /// point without it, and always from the first turn that meets it while not replaying.
    pub fn is_patched(&mut self, name: &str) -> bool {
        let answer = self.patch_answers.get(name).copied().unwrap_or_else(|| {
            let answer = self.patches_in_history.contains(name) || !self.replaying;
            self.patch_answers.insert(name.into(), answer);
            answer
        });
        if answer {
            self.patches_met.push(name.to_owned());
        }
        answer
    }

    /// Sets the status that clients see; JSON or any other text.
    pub fn set_custom_status(&mut self, status: Option<String>) {
        self.custom_status = status;
    }

    /// The id of the last action, or 0 before the first.
    #[must_use]
    pub fn sequence(&self) -> i32 {
        self.sequence
    }

    pub(crate) fn next_id(&mut self) -> i32 {
        self.sequence = self.sequence.saturating_add(1);
        self.sequence
    }

    pub(crate) fn add_action(&mut self, id: i32, action: Action<H>) {
        // Whoever has ended asks for nothing more; its calls still count, as they do on every replay.
        if self.outcome.is_none() {
            self.actions.insert(id, action);
        }
    }

    /// Takes back the timer of a wait without an end: in this history waits had none. All ids after it move up.
    pub(crate) fn take_back_wait_timer(&mut self, id: i32) {
        self.actions.close_gap(id);
        self.tasks.close_gap(id);
        self.waiters.close_gap(id);
        self.sequence -= 1;
    }

    pub(crate) fn add_timer(&mut self, fire_at: Timestamp, origin: TimerOrigin, pending: Pending<H>) {
        let id = self.next_id();
        self.add_action(id, Action::CreateTimer(Timer { fire_at, origin }));
        self.tasks.insert(id, pending);
        self.release_early(id);
    }

    /// Sends a call with a retry policy, for the first time or again.
    pub(crate) fn schedule_retryable(&mut self, id: i32, mut retry: Box<Retry<H>>) {
        retry.mark = ExecutionMark::default();
        let call = Arc::clone(&retry.call);
        let timeout = retry.timeout;
        self.add_action(id, Action::RetryableCall(Arc::clone(&call)));
        self.tasks.insert(id, Pending::Retryable(retry));
        self.release_early(id);
        if let Some(timeout) = timeout {
            self.bound_call(timeout, call.target.method(), Name::clone(&call.name));
        }
    }

    /// Notes that a call is not tried again since its time is over.
    #[cold]
    pub(crate) fn give_up(&mut self, call: &Call<H>) {
        let given_up = (call.target.method(), Name::clone(&call.name));
        if !self.given_up.contains(&given_up) {
            self.given_up.push(given_up);
        }
    }

    fn schedule(
        &mut self,
        id: i32,
        call: Call<H>,
        timeout: Option<i64>,
        retry: Option<Arc<RetryPolicy>>,
        task: H::Task,
    ) {
        if let Some(policy) = retry {
            self.schedule_retryable(
                id,
                Box::new(Retry {
                    task,
                    policy,
                    attempt: 1,
                    first_scheduled: self.now,
                    call: Arc::new(call),
                    last_failure: None,
                    mark: ExecutionMark::default(),
                    timeout,
                    resumes_at: None,
                    told: false,
                }),
            );
            return;
        }
        let pending = match call.target {
            Target::Activity { .. } => Pending::Activity(task, ExecutionMark::default()),
            Target::SubOrchestration { .. } => Pending::SubOrchestration(task),
        };
        let bound = timeout.map(|timeout| (timeout, call.target.method(), Name::clone(&call.name)));
        self.add_action(id, Action::Call(call));
        self.tasks.insert(id, pending);
        self.release_early(id);
        if let Some((timeout, method, name)) = bound {
            self.bound_call(timeout, method, name);
        }
    }
}
