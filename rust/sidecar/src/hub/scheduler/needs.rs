//! What work needs of a worker, and what workers say that they have.

use std::collections::{HashMap, HashSet};

/// Names a worker, as long as it is connected.
pub(crate) type StreamId = u64;

/// What a worker has to have to do something.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Need {
    /// Of the orchestrator or the activity.
    pub(crate) name: String,
    /// The version that an instance runs; none if the next worker chooses.
    pub(crate) version: Option<String>,
    /// Workers that had it and could not do it.
    pub(super) not_by: Vec<StreamId>,
}

impl Need {
    pub(crate) fn of(name: &str, version: Option<&str>) -> Self {
        Self { name: name.to_owned(), version: version.map(str::to_owned), not_by: Vec::new() }
    }
}

/// Names and versions that a worker has.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Names {
    names: HashMap<String, Versions>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Versions {
    /// Registered without a version, which serves all of them.
    unversioned: bool,
    named: HashSet<String>,
}

impl Names {
    pub(crate) fn add(&mut self, name: String, version: Option<String>) {
        let versions = self.names.entry(name).or_default();
        match version {
            Some(version) => drop(versions.named.insert(version)),
            None => versions.unversioned = true,
        }
    }

    pub(super) fn serve(&self, need: &Need) -> bool {
        self.names.get(&need.name).is_some_and(|versions| {
            let chosen = need.version.as_ref();
            versions.unversioned || chosen.is_none_or(|version| versions.named.contains(version))
        })
    }
}

/// What a worker says of itself when it connects.
#[derive(Debug, Clone, Default)]
pub(crate) struct Offer {
    /// It keeps histories between turns.
    pub(crate) stateful_history: bool,
    /// How much it wants to have in hand at once; 0 is no limit of its own.
    pub(crate) max_turns: usize,
    pub(crate) max_activities: usize,
    /// What it has; none if it does not say, and is then given everything.
    pub(crate) orchestrators: Option<Names>,
    pub(crate) activities: Option<Names>,
}
