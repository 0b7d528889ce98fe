//! Databases of earlier versions, and how many statements it takes to damage one.

use durabletask_proto::prost::Message;
use durabletask_proto::{ExecutionStartedEvent, OrchestrationInstance, OrchestrationStatus};
use rusqlite::{Connection, params};

use super::{Losses, Store};

/// A database as the first version made it, with an instance that waits for an activity.
fn version_1(path: &std::path::Path) {
    let old = Connection::open(path).expect("a new database");
    old.execute_batch(&format!(
        "PRAGMA journal_mode = WAL; PRAGMA application_id = 1148473971; PRAGMA user_version = 1; {}",
        include_str!("schema.sql")
    ))
    .expect("the first version's tables");
    let start = ExecutionStartedEvent {
        name: "greet".to_owned(),
        version: Some("v1".to_owned()),
        tags: [("team".to_owned(), "blue".to_owned())].into(),
        orchestration_instance: Some(OrchestrationInstance {
            instance_id: "one".to_owned(),
            execution_id: Some("run".to_owned()),
        }),
        ..ExecutionStartedEvent::default()
    };
    old.execute(
        "INSERT INTO instances (id, status, suspended, start, created_at, updated_at) VALUES ('one', 0, 0, ?1, 5, 6)",
        params![start.encode_to_vec()],
    )
    .expect("an instance");
    old.execute_batch(
        "INSERT INTO inbox VALUES (1, 7, 0, x'');
         INSERT INTO activities VALUES (8, 1, 'run', x'');
         INSERT INTO timers VALUES (9, 9, 1, x'');",
    )
    .expect("what it waits for");
}

#[test]
fn a_database_of_the_first_version_is_brought_up_to_date_with_all_that_is_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    version_1(&path);

    let store = Store::open(Some(&path), Losses::Refuse).expect("it is ours");
    let key = store.find_key("one").expect("readable").expect("the instance is there");
    let row = store.instance(key).expect("readable").expect("the instance is there");
    assert_eq!(row.instance.status, OrchestrationStatus::Running);
    assert_eq!((row.created_at, row.updated_at), (5, 6));
    let columns: (String, String, String, String) = store
        .connection
        .query_row("SELECT name, version, execution, tags FROM instances", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .expect("it is filled in");
    assert_eq!(columns, ("greet".into(), "v1".into(), "run".into(), "{\"team\":\"blue\"}".into()));
    assert_eq!(store.instances_with_work().expect("readable"), [key]);
    assert_eq!(store.pending_activities().expect("readable").len(), 1);
    assert_eq!(store.next_timer().expect("readable"), Some(9));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().expect("it is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "others can not read it any more");
    }
    drop(store);
    Store::open(Some(&path), Losses::Refuse).expect("it is up to date");
}

#[test]
fn the_log_does_not_grow_for_ever_and_is_missed_at_any_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("hub.db");
    let mut store = Store::open(Some(&path), Losses::Refuse).expect("a new database");
    let log = folder.path().join("hub.db-wal");
    for round in 0..200 {
        store.begin().expect("a transaction");
        store.append_history(1, round, 1, &vec![0; 100_000]).expect("room");
        store.commit().expect("room");
    }
    let size = log.metadata().expect("it is there").len();
    assert!(size < 12_000_000, "20 MB were written, of which the log still holds {size} bytes");
    let alone = folder.path().join("alone.db");
    std::fs::copy(&path, &alone).expect("a copy without the log");
    let found = Store::open(Some(&alone), Losses::Refuse).err().expect("something is missing");
    assert!(matches!(found, super::OpenError::LostLog { .. }), "{found}");
    store.sequence();
    drop(store);
    std::fs::copy(&path, &alone).expect("a copy of what was closed in good order");
    Store::open(Some(&alone), Losses::Refuse).expect("nothing is missing");
}
