//! Orchestrators written in Rust: async functions over a [`Context`], resumed when a task of theirs completes.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use durabletask_core::retry::RetryPolicy;
use durabletask_core::time::Timestamp;
use durabletask_core::{ActivityCall, Host, Input, Orchestration, SubOrchestrationCall, Until, Wait};

/// A host whose orchestrators are scripts.
#[derive(Debug)]
pub(crate) enum Script {}

impl Host for Script {
    type Task = Task;
    type Input = Value;
}

/// An argument that is encoded only when it is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Value(pub(crate) &'static str);

/// An argument that can not be encoded.
pub(crate) const UNENCODABLE: Value = Value("<object>");

/// A task's failure, as the orchestrator gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskFailed {
    /// What the engine says.
    pub(crate) text: String,
    pub(crate) error_type: String,
    pub(crate) message: String,
    pub(crate) stack_trace: Option<String>,
}

/// An exception that ends an orchestrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) error_type: String,
    pub(crate) message: String,
}

impl TaskFailed {
    pub(crate) fn timeout(text: String) -> Self {
        Self { message: text.clone(), text, error_type: "TimeoutError".to_owned(), stack_trace: None }
    }
}

impl From<TaskFailed> for Raised {
    fn from(failed: TaskFailed) -> Self {
        Self { error_type: "TaskFailedError".to_owned(), message: failed.text }
    }
}

pub(crate) type TaskResult = Result<Option<String>, TaskFailed>;
/// How an orchestrator ends: with JSON or an exception.
pub(crate) type Ended = Result<Option<String>, Raised>;
pub(crate) type Running = Pin<Box<dyn Future<Output = Ended>>>;

/// Something that the orchestrator may wait for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Task(Rc<RefCell<Option<TaskResult>>>);

impl Task {
    pub(crate) fn settle(&self, result: TaskResult) {
        let before = self.0.replace(Some(result));
        assert!(before.is_none(), "the engine completed a task twice: first with {before:?}");
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.0.borrow().is_some()
    }
}

impl Future for Task {
    type Output = TaskResult;

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> Poll<TaskResult> {
        self.0.borrow().clone().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Waits for one of the tasks, and says which.
pub(crate) async fn any(tasks: &[Task]) -> usize {
    std::future::poll_fn(|_| match tasks.iter().position(Task::is_complete) {
        Some(index) => Poll::Ready(index),
        None => Poll::Pending,
    })
    .await
}

/// Waits for something that never happens.
pub(crate) async fn for_ever<T>() -> T {
    std::future::pending().await
}

/// What an orchestrator calls.
#[derive(Clone, Debug)]
pub(crate) struct Context(pub(crate) Rc<RefCell<Orchestration<Script>>>);

impl Context {
    pub(crate) fn activity(&self, name: &str) -> Task {
        self.activity_with(name, Input::None)
    }

    pub(crate) fn activity_with(&self, name: &str, input: Input<Value>) -> Task {
        self.call_activity(
            ActivityCall { name: name.into(), input, app_id: None, propagation: None, timeout: None },
            None,
        )
    }

    pub(crate) fn retried(&self, name: &str, policy: &RetryPolicy) -> Task {
        let call =
            ActivityCall { name: name.into(), input: Input::None, app_id: None, propagation: None, timeout: None };
        self.call_activity(call, Some(policy))
    }

    pub(crate) fn call_activity(&self, call: ActivityCall<Value>, retry: Option<&RetryPolicy>) -> Task {
        let task = Task::default();
        self.0.borrow_mut().call_activity(call, retry.cloned().map(Arc::new), task.clone());
        task
    }

    pub(crate) fn sub(&self, name: &str) -> Task {
        self.call_sub(sub_call(name), None)
    }

    pub(crate) fn call_sub(&self, call: SubOrchestrationCall<Value>, retry: Option<&RetryPolicy>) -> Task {
        let task = Task::default();
        self.0.borrow_mut().call_sub_orchestration(call, retry.cloned().map(Arc::new), task.clone());
        task
    }

    /// A timer for this many seconds from now.
    pub(crate) fn timer(&self, seconds: i64) -> Task {
        let fire_at = self.now().checked_add(seconds * 1_000_000).expect("a time before the year 10000");
        self.timer_at(fire_at)
    }

    pub(crate) fn timer_at(&self, fire_at: Timestamp) -> Task {
        let task = Task::default();
        self.0.borrow_mut().create_timer(fire_at, task.clone());
        task
    }

    pub(crate) fn wait(&self, name: &str) -> Task {
        self.wait_until(name, Until::End)
    }

    /// The same for so many seconds from now.
    pub(crate) fn wait_for(&self, name: &str, seconds: i64) -> Task {
        self.wait_until(name, self.now().checked_add(seconds * 1_000_000).map_or(Until::End, Until::Time))
    }

    fn wait_until(&self, name: &str, until: Until) -> Task {
        let task = Task::default();
        let wait = self.0.borrow_mut().wait_for_external_event(name, until, None, task.clone());
        match wait {
            Wait::Pending => {}
            Wait::Arrived(payload) => task.settle(Ok(payload.map(String::from))),
            Wait::TimedOut(text) => task.settle(Err(TaskFailed::timeout(text))),
        }
        task
    }

    pub(crate) fn send_event(&self, instance_id: &str, name: &str, data: Input<Value>) {
        self.0.borrow_mut().send_event(instance_id.into(), name.into(), data);
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.0.borrow().now()
    }

    pub(crate) fn is_replaying(&self) -> bool {
        self.0.borrow().is_replaying()
    }

    pub(crate) fn guid(&self) -> String {
        let mut engine = self.0.borrow_mut();
        let seed = engine.next_guid();
        seed.text(engine.instance_id())
    }

    pub(crate) fn is_patched(&self, name: &str) -> bool {
        self.0.borrow_mut().is_patched(name)
    }

    pub(crate) fn set_custom_status(&self, status: Option<&str>) {
        self.0.borrow_mut().set_custom_status(status.map(str::to_owned));
    }

    pub(crate) fn continue_as_new(&self, input: Input<Value>, save_events: bool) {
        self.0.borrow_mut().continue_as_new(input, save_events);
    }
}

/// A sub-orchestration without input, id or application.
pub(crate) fn sub_call(name: &str) -> SubOrchestrationCall<Value> {
    SubOrchestrationCall {
        name: name.into(),
        input: Input::None,
        instance_id: None,
        app_id: None,
        propagation: None,
        timeout: None,
    }
}

/// JSON of an argument.
pub(crate) fn json(text: &str) -> Input<Value> {
    Input::Encoded(text.into())
}

/// A list of results as an orchestrator's result.
#[allow(clippy::unnecessary_wraps, reason = "orchestrators end with it")]
pub(crate) fn list<T: std::fmt::Debug>(results: &[T]) -> Ended {
    Ok(Some(format!("{results:?}")))
}
