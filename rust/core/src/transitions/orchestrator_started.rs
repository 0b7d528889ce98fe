//! `orchestratorStarted`: a turn begins.

use crate::error::Error;
use crate::host::Host;
use crate::orchestration::{Orchestration, Step};
use crate::wire::{Event, OrchestratorStarted};

/// Sets the clock, and collects the version and the patches.
pub(super) fn apply<'a, H: Host>(this: &mut Orchestration<H>, event: &Event<'a>) -> Result<Step<'a, H>, Error> {
    this.now = event.timestamp()?;
    collect_version(this, event)?;
    Ok(Step::Continue)
}

/// Collects the version and the patches that the turn's response reported; most report none.
#[inline]
pub(super) fn collect_version<H: Host>(this: &mut Orchestration<H>, event: &Event<'_>) -> Result<(), Error> {
    if event.body().bytes.is_empty() { Ok(()) } else { collect_from(this, event) }
}

#[cold]
fn collect_from<H: Host>(this: &mut Orchestration<H>, event: &Event<'_>) -> Result<(), Error> {
    let started = OrchestratorStarted::decode(event.body())?;
    if !started.version_name.is_empty() {
        this.version_from_history = Some(started.version_name.into());
    }
    this.patches_in_history.extend(started.patches.into_iter().map(Box::from));
    Ok(())
}
