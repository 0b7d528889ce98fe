//! Looking for instances: by one index, in the order of their creation, a bounded number of rows at a time.

use std::collections::HashMap;

use rusqlite::{Row, ToSql, params};

use super::{Key, Result, Store};
use crate::time::Nanos;

/// How many rows are looked at in one go: nobody else is served meanwhile.
const LOOKED_AT: usize = 1_000;

/// Where a listing goes on: behind the instance that was created then, and has that key.
pub(crate) type Position = (Nanos, Key);

/// Which instances are looked for: those that everything fits that is given. Bounds are inclusive.
#[derive(Debug, Clone, Default)]
pub(crate) struct Filter {
    /// None means whichever.
    pub(crate) statuses: Vec<i32>,
    pub(crate) name: Option<String>,
    pub(crate) created: (Option<Nanos>, Option<Nanos>),
    pub(crate) updated: (Option<Nanos>, Option<Nanos>),
    pub(crate) prefix: Option<String>,
    pub(crate) tags: HashMap<String, String>,
    pub(crate) roots_only: bool,
    /// The instance that waits for them.
    pub(crate) parent: Option<Key>,
}

/// A row that may fit.
pub(crate) struct Candidate {
    pub(crate) key: Key,
    created_at: Nanos,
    updated_at: Nanos,
    status: i32,
    id: String,
    name: String,
    parent: Option<Key>,
    tags: Option<String>,
}

const COLUMNS: &str = "key, created_at, updated_at, status, id, name, parent, tags";

fn read(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    Ok(Candidate {
        key: row.get(0)?,
        created_at: row.get(1)?,
        updated_at: row.get(2)?,
        status: row.get(3)?,
        id: row.get(4)?,
        name: row.get(5)?,
        parent: row.get(6)?,
        tags: row.get(7)?,
    })
}

impl Candidate {
    pub(crate) fn position(&self) -> Position {
        (self.created_at, self.key)
    }
}

fn within(value: Nanos, (from, to): (Option<Nanos>, Option<Nanos>)) -> bool {
    from.is_none_or(|from| value >= from) && to.is_none_or(|to| value <= to)
}

impl Filter {
    pub(crate) fn fits(&self, candidate: &Candidate) -> bool {
        (self.statuses.is_empty() || self.statuses.contains(&candidate.status))
            && self.name.as_ref().is_none_or(|name| *name == candidate.name)
            && within(candidate.created_at, self.created)
            && within(candidate.updated_at, self.updated)
            && self.prefix.as_ref().is_none_or(|prefix| candidate.id.starts_with(prefix))
            && (!self.roots_only || candidate.parent.is_none())
            && (self.parent.is_none() || candidate.parent == self.parent)
            && self.tags_fit(candidate.tags.as_deref())
    }

    fn tags_fit(&self, tags: Option<&str>) -> bool {
        if self.tags.is_empty() {
            return true;
        }
        let found: HashMap<String, String> = tags.and_then(|tags| serde_json::from_str(tags).ok()).unwrap_or_default();
        self.tags.iter().all(|(name, value)| found.get(name) == Some(value))
    }
}

impl Store {
    /// The next rows behind a position that may fit, in order; and whether there may be more behind the last of them.
    pub(crate) fn candidates(&self, filter: &Filter, after: Position) -> Result<(Vec<Candidate>, bool)> {
        // A family or an id is mostly shared by few; where it is, nobody else has to be looked at.
        if let Some(prefix) = &filter.prefix
            && let Some(few) =
                self.few("id >= ?1 AND (?2 IS NULL OR id < ?2)", after, params![prefix, end_of(prefix)])?
        {
            return Ok((few, false));
        }
        if let Some(parent) = filter.parent
            && let Some(few) = self.few("parent = ?1", after, params![parent])?
        {
            return Ok((few, false));
        }
        let to = filter.created.1.unwrap_or(Nanos::MAX);
        let after = after.max((filter.created.0.unwrap_or(Nanos::MIN), Key::MIN));
        if filter.statuses.is_empty() {
            return match &filter.name {
                Some(name) => self.in_order("name = ?4 AND", after, to, &[name]),
                None => self.in_order("", after, to, &[]),
            };
        }
        let mut found = Vec::new();
        let mut more = false;
        for status in &filter.statuses {
            let (these, rest) = self.in_order("status = ?4 AND", after, to, &[status])?;
            found.extend(these);
            more |= rest;
        }
        // Each brought its first ones, so that the first of all are among them.
        found.sort_by_key(Candidate::position);
        found.dedup_by_key(|candidate| candidate.key);
        more |= found.len() > LOOKED_AT;
        found.truncate(LOOKED_AT);
        Ok((found, more))
    }

    /// All rows behind a position that a condition selects, if those without a position are few.
    fn few(&self, condition: &str, after: Position, values: &[&dyn ToSql]) -> Result<Option<Vec<Candidate>>> {
        let sql = format!("SELECT {COLUMNS} FROM instances WHERE {condition} LIMIT {}", LOOKED_AT + 1);
        let rows: Vec<Candidate> =
            self.connection.prepare_cached(&sql)?.query_map(values, read)?.collect::<rusqlite::Result<_>>()?;
        if rows.len() > LOOKED_AT {
            return Ok(None);
        }
        let mut behind: Vec<_> = rows.into_iter().filter(|row| row.position() > after).collect();
        behind.sort_by_key(Candidate::position);
        Ok(Some(behind))
    }

    /// The next rows of an index that goes on with `created_at`.
    fn in_order(
        &self,
        condition: &str,
        after: Position,
        to: Nanos,
        values: &[&dyn ToSql],
    ) -> Result<(Vec<Candidate>, bool)> {
        let sql = format!(
            "SELECT {COLUMNS} FROM instances
             WHERE {condition} (created_at, key) > (?1, ?2) AND created_at <= ?3
             ORDER BY created_at, key LIMIT {LOOKED_AT}"
        );
        let (created_at, key) = after;
        let mut given: Vec<&dyn ToSql> = vec![&created_at, &key, &to];
        given.extend(values);
        let rows: Vec<Candidate> =
            self.connection.prepare_cached(&sql)?.query_map(&*given, read)?.collect::<rusqlite::Result<_>>()?;
        let more = rows.len() == LOOKED_AT;
        Ok((rows, more))
    }

    /// How many instances there are of each status.
    pub(crate) fn count_by_status(&self) -> Result<Vec<(i32, u64)>> {
        Ok(self
            .connection
            .prepare_cached("SELECT status, count(*) FROM instances GROUP BY status ORDER BY status")?
            .query_map([], |row| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs())))?
            .collect::<rusqlite::Result<_>>()?)
    }
}

/// The first text behind all that begin with `prefix`, in the order of their bytes; none if there is none.
fn end_of(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // There are no characters between these two.
        let next = if last == '\u{d7ff}' { Some('\u{e000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Losses;

    #[test]
    fn the_end_of_a_prefix_is_behind_all_that_begin_with_it() {
        for (prefix, end) in
            [("a", Some("b")), ("ab", Some("ac")), ("a\u{d7ff}", Some("a\u{e000}")), ("a\u{10ffff}", Some("b"))]
        {
            assert_eq!(end_of(prefix).as_deref(), end, "of {prefix:?}");
        }
        assert_eq!((end_of(""), end_of("\u{10ffff}")), (None, None));
    }

    #[test]
    fn every_way_of_looking_goes_by_an_index_that_is_in_order() {
        let store = Store::open(None, Losses::Refuse).expect("a database in memory");
        for (condition, index) in [
            ("", "instances_by_creation"),
            ("name = ?4 AND", "instances_by_name"),
            ("status = ?4 AND", "instances_by_status"),
        ] {
            let sql = format!(
                "EXPLAIN QUERY PLAN SELECT {COLUMNS} FROM instances WHERE {condition} (created_at, key) > (?1, ?2)
                 AND created_at <= ?3 ORDER BY created_at, key LIMIT 5"
            );
            let mut statement = store.connection.prepare(&sql).expect("a query");
            let plan: Vec<String> =
                statement.raw_query().mapped(|row| row.get("detail")).collect::<rusqlite::Result<_>>().expect("a plan");
            assert!(plan.len() == 1 && plan[0].contains(index), "{condition:?} is looked for as {plan:?}");
        }
    }
}
