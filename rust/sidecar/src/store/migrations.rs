//! From one version of the database to the next.

use durabletask_proto::ExecutionStartedEvent;
use durabletask_proto::prost::Message;
use rusqlite::{Connection, params};

/// "DtRs", in the header of every database that this sidecar makes.
pub(super) const APPLICATION_ID: i32 = 0x4474_5273;

/// What leads to a version from the one before.
struct Step {
    sql: &'static str,
    /// What can not be said in SQL.
    fill: fn(&Connection) -> rusqlite::Result<()>,
}

/// The first one makes an empty database ours.
const STEPS: [Step; 3] = [
    Step { sql: include_str!("schema.sql"), fill: |_| Ok(()) },
    Step { sql: include_str!("schema_2.sql"), fill: fill_columns_of_starts },
    Step { sql: include_str!("schema_3.sql"), fill: |_| Ok(()) },
];
pub(super) const SCHEMA_VERSION: i32 = 3;
const _: () = assert!(STEPS.len() == SCHEMA_VERSION as usize, "a step for each version");

/// Takes the steps that lead from this version to ours, all or none of them.
pub(super) fn bring_up_to_date(connection: &Connection, version: i32) -> rusqlite::Result<()> {
    let taken = usize::try_from(version).unwrap_or(0);
    if taken >= STEPS.len() {
        return Ok(());
    }
    connection.execute_batch(&format!(
        "BEGIN;
         PRAGMA application_id = {APPLICATION_ID};
         PRAGMA user_version = {SCHEMA_VERSION};"
    ))?;
    for step in &STEPS[taken..] {
        connection.execute_batch(step.sql)?;
        (step.fill)(connection)?;
    }
    connection.execute_batch("COMMIT")
}

/// What of an instance's start is looked for has columns.
pub(super) struct StartColumns {
    pub(super) version: Option<String>,
    pub(super) execution: Option<String>,
    pub(super) tags: Option<String>,
}

impl StartColumns {
    pub(super) fn of(start: &ExecutionStartedEvent) -> Self {
        let tags: std::collections::BTreeMap<_, _> = start.tags.iter().collect();
        Self {
            version: start.version.clone().filter(|version| !version.is_empty()),
            execution: start.orchestration_instance.as_ref().and_then(|instance| instance.execution_id.clone()),
            tags: if tags.is_empty() { None } else { serde_json::to_string(&tags).ok() },
        }
    }
}

fn fill_columns_of_starts(connection: &Connection) -> rusqlite::Result<()> {
    let mut instances = connection.prepare("SELECT key, start FROM instances")?;
    let mut fill =
        connection.prepare("UPDATE instances SET name = ?2, version = ?3, execution = ?4, tags = ?5 WHERE key = ?1")?;
    let mut rows = instances.query([])?;
    while let Some(row) = rows.next()? {
        let key: i64 = row.get(0)?;
        // A damaged one is found when it is used.
        let start = ExecutionStartedEvent::decode(row.get_ref(1)?.as_blob()?).unwrap_or_default();
        let StartColumns { version, execution, tags } = StartColumns::of(&start);
        fill.execute(params![key, start.name, version, execution, tags])?;
    }
    Ok(())
}
