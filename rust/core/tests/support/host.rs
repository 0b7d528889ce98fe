//! Plays an orchestrator against a request, as the binding of a language does: one event after the other, each followed
//! by what it lets through.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Poll, Waker};

use durabletask_core::semantics::Semantics;
use durabletask_core::wire::{Corrupt, Event, Request, Span};
use durabletask_core::{Error, FailedCall, LastFailure, Notice, Orchestration, Start, Step, Unconfirmed};
use durabletask_proto as pb;

use super::history::{History, failure};
use super::script::{Context, Ended, Running, Script, TaskFailed, UNENCODABLE, Value};

/// An orchestrator and the versions under which it is registered.
pub(crate) struct Player {
    begin: Box<dyn Fn(Context, Option<String>) -> Running>,
    versions: Vec<&'static str>,
    semantics: Semantics,
}

/// What came of a turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) response: pb::OrchestratorResponse,
    /// Why the turn could not be played to its end.
    pub(crate) error: Option<Error>,
    /// Events without effect, each with whether it was replayed.
    pub(crate) notices: Vec<(Notice, bool)>,
    /// Actions that the past did not confirm.
    pub(crate) unconfirmed: Vec<Unconfirmed>,
    /// How many arguments had to be encoded for the response.
    pub(crate) encoded: usize,
    /// Tasks and names of events that are waited for.
    pub(crate) outstanding: (usize, usize),
    /// Names of the orchestrators that were started.
    pub(crate) started: Vec<String>,
}

/// An orchestrator to be played.
pub(crate) fn orchestrator<F, Fut>(function: F) -> Player
where
    F: Fn(Context, Option<String>) -> Fut + 'static,
    Fut: Future<Output = Ended> + 'static,
{
    Player {
        begin: Box::new(move |context, input| Box::pin(function(context, input))),
        versions: Vec::new(),
        semantics: Semantics::default(),
    }
}

/// Plays a history's new turn with an orchestrator that has no versions.
pub(crate) fn play<F, Fut>(history: &History, function: F) -> Turn
where
    F: Fn(Context, Option<String>) -> Fut + 'static,
    Fut: Future<Output = Ended> + 'static,
{
    orchestrator(function).play(history)
}

impl Player {
    /// Registers the orchestrator under versions, the latest last.
    pub(crate) fn with_versions(mut self, versions: &[&'static str]) -> Self {
        self.versions = versions.to_vec();
        self
    }

    /// Follows another release than 0.17.
    pub(crate) fn following(mut self, semantics: Semantics) -> Self {
        self.semantics = semantics;
        self
    }

    pub(crate) fn play(&self, history: &History) -> Turn {
        let bytes = history.bytes();
        let request = Request::decode(Span::whole(&bytes)).expect("a history that was built decodes");
        self.play_request(&request)
    }

    /// Plays the turn that a request asks for. An error ends it: the execution fails, as it does for users.
    pub(crate) fn play_request(&self, request: &Request<'_>) -> Turn {
        let mut session = Session {
            player: self,
            engine: Rc::new(RefCell::new(Orchestration::new(request.instance_id))),
            running: None,
            stopped: false,
            raised: false,
            notices: Vec::new(),
            started: Vec::new(),
        };
        session.engine.borrow_mut().set_semantics(self.semantics);
        let mut unconfirmed = Vec::new();
        let error = session.play(request, &mut unconfirmed).err();
        let mut engine = session.engine.borrow_mut();
        if let Some(error) = &error {
            engine.discard_actions();
            engine.fail(failure_of(error));
        }
        let mut encoded = 0;
        let mut encode = |value: &Value| {
            encoded += 1;
            match value.0 {
                json if json == UNENCODABLE.0 => Err(failure("TypeError", "not JSON")),
                json => Ok(json.to_owned()),
            }
        };
        let response = engine.response("token", &mut encode).unwrap_or_else(|details| {
            engine.fail_over(details);
            engine.response("token", encode).expect("a failure has nothing to encode")
        });
        Turn {
            response,
            error,
            notices: std::mem::take(&mut session.notices),
            unconfirmed,
            encoded,
            outstanding: engine.outstanding(),
            started: std::mem::take(&mut session.started),
        }
    }
}

/// An error of the engine as a failure of the orchestration.
pub(crate) fn failure_of(error: &Error) -> pb::TaskFailureDetails {
    let error_type = match error {
        Error::NonDeterminism(_) => "NonDeterminismError",
        Error::State(_) | Error::Corrupt(_) => "OrchestrationStateError",
    };
    failure(error_type, &error.to_string())
}

struct Session<'p> {
    player: &'p Player,
    engine: Rc<RefCell<Orchestration<Script>>>,
    running: Option<Running>,
    /// No event is applied any more.
    stopped: bool,
    /// The orchestrator has raised: the rest of the past may contradict it, new events can not.
    raised: bool,
    notices: Vec<(Notice, bool)>,
    started: Vec<String>,
}

impl Session<'_> {
    fn play(&mut self, request: &Request<'_>, unconfirmed: &mut Vec<Unconfirmed>) -> Result<(), Error> {
        self.engine.borrow_mut().set_replaying(true);
        self.apply_all(request.past_events())?;
        {
            let mut engine = self.engine.borrow_mut();
            unconfirmed.extend(engine.unconfirmed());
            assert_eq!(
                engine.has_unconfirmed(),
                !unconfirmed.is_empty(),
                "has_unconfirmed() contradicts unconfirmed()"
            );
            engine.set_replaying(false);
        }
        self.apply_all(request.new_events())
    }

    fn apply_all<'a>(&mut self, events: impl Iterator<Item = Result<Span<'a>, Corrupt>>) -> Result<(), Error> {
        for raw in events {
            if self.stopped || (self.raised && !self.engine.borrow().is_replaying()) {
                break;
            }
            let event = Event::decode(raw?)?;
            let step = self.engine.borrow_mut().apply(&event)?;
            self.perform(step)?;
            while let Some(bytes) = self.next_released() {
                let event = Event::decode(Span::whole(&bytes))?;
                let step = self.engine.borrow_mut().apply_again(&event)?;
                self.perform(step)?;
            }
        }
        Ok(())
    }

    fn next_released(&self) -> Option<Box<[u8]>> {
        let mut engine = self.engine.borrow_mut();
        let any = engine.has_released();
        let next = engine.next_released();
        assert_eq!(any, next.is_some(), "has_released() contradicts next_released()");
        next
    }

    fn perform(&mut self, step: Step<'_, Script>) -> Result<(), Error> {
        match step {
            Step::Continue => {}
            Step::Ignored(notice) => {
                let replaying = self.engine.borrow().is_replaying();
                self.notices.push((notice, replaying));
            }
            Step::Start(start) => self.start(start),
            Step::Complete(task, json) => {
                task.settle(Ok(json.map(Span::text).transpose()?.map(str::to_owned)));
                self.resume();
            }
            Step::Fail(task, failed) => {
                let FailedCall { message: text, failure } = *failed;
                task.settle(Err(TaskFailed {
                    text,
                    error_type: failure.error_type.to_owned(),
                    message: failure.message.to_owned(),
                    stack_trace: failure.stack_trace.map(str::to_owned),
                }));
                self.resume();
            }
            Step::TimeOut(task, text) => {
                task.settle(Err(TaskFailed::timeout(text)));
                self.resume();
            }
            Step::GiveUp(task, failure) => {
                let LastFailure { message: text, error_type, error_message: message, stack_trace, .. } = *failure;
                task.settle(Err(TaskFailed { text, error_type, message, stack_trace }));
                self.resume();
            }
        }
        Ok(())
    }

    fn start(&mut self, start: Start<'_>) {
        self.started.push(start.name.to_owned());
        if let Some(latest) = self.player.versions.last() {
            let mut engine = self.engine.borrow_mut();
            let version = engine.version_from_history().unwrap_or(latest).to_owned();
            if !self.player.versions.contains(&version.as_str()) {
                engine.version_not_available();
                self.stopped = true;
                return;
            }
            engine.set_version_used(version);
        }
        let context = Context(Rc::clone(&self.engine));
        self.running = Some((self.player.begin)(context, start.input.map(str::to_owned)));
        self.resume();
    }

    /// Lets the orchestrator run until it waits for a task that is not complete.
    fn resume(&mut self) {
        let Some(running) = &mut self.running else { return };
        let Poll::Ready(ended) = running.as_mut().poll(&mut std::task::Context::from_waker(Waker::noop())) else {
            return;
        };
        self.running = None;
        let mut engine = self.engine.borrow_mut();
        match ended {
            Ok(result) => engine.complete(result),
            Err(raised) => {
                engine.fail(failure(&raised.error_type, &raised.message));
                self.raised = true;
            }
        }
    }
}
