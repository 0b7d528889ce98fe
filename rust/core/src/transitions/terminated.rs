//! `executionTerminated`: somebody ended the execution from outside.

use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Orchestration, Outcome, Step};
use crate::wire::{Event, Terminated};

pub(super) fn apply<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    let terminated = Terminated::decode(event.body())?;
    this.end(|id| Outcome::Terminated { id, output: terminated.output.map(Box::from) });
    Ok(Step::Continue)
}
