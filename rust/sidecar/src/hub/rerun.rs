//! Running an instance that has ended again, as a copy that begins at one of its calls.

use super::{Hub, HubError, Result};
use crate::machine::{self, Rerun};
use crate::store::Created;
use crate::wire::decode_history;

impl Hub {
    /// Creates the copy, and does again what it waits for.
    pub(crate) fn rerun(&mut self, id: &str, asked: Rerun) -> Result<()> {
        self.expect_more();
        let source = self.existing(id)?;
        if let Some(taken) = self.find(&asked.new_id)? {
            let status = super::clients::status_name(taken.instance.status);
            return Err(HubError::AlreadyExists { id: asked.new_id, status });
        }
        let frames = self.store.history(source.key)?.starting_at(0).concat();
        let history = decode_history(&frames)
            .map_err(|error| HubError::Undecodable { id: id.to_owned(), error: error.to_string() })?;
        let now = self.clock.now();
        let outcome = Self::with_environment(&self.app_id, &mut self.ids, now, |environment| {
            machine::rerun(&source.instance, history, &asked, environment)
        })?;
        let created = Created { instance: &outcome.instance, parent: None, handed: None, not_before: None, now };
        let key = self.store.create_instance(&created)?;
        self.commit(key, outcome, now)
    }
}
