//! `executionStarted`: which orchestrator to run, with what input, in which application.

use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Orchestration, Start, Step};
use crate::wire::{Event, ExecutionStarted};

/// Starts the orchestrator, once.
pub(super) fn apply<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    let started = ExecutionStarted::decode(event.body())?;
    this.app_id = Some(event.app_id()?.into());
    if std::mem::replace(&mut this.started, true) {
        return Ok(Step::Continue);
    }
    Ok(Step::Start(Start { name: started.name, input: started.input }))
}
