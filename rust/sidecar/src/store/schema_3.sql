-- From version 2 to version 3.

-- Histories that calls hand on. What an instance hands on in one turn is kept once: each call is shown the beginning of it.
CREATE TABLE propagated_chunks (
    key INTEGER PRIMARY KEY,                -- never used twice
    head BLOB NOT NULL,                     -- a PropagatedHistoryChunk without its events
    events BLOB NOT NULL                    -- its rawEvents fields
);
CREATE TABLE propagated (
    kind INTEGER NOT NULL,                  -- whom it is shown to: 0 an instance, 1 an activity
    holder INTEGER NOT NULL,                -- the instance's key, the activity's sequence number
    position INTEGER NOT NULL,
    chunk INTEGER NOT NULL,
    length INTEGER NOT NULL,                -- so many bytes of its events
    PRIMARY KEY (kind, holder, position)
) WITHOUT ROWID;
CREATE INDEX propagated_by_chunk ON propagated (chunk);

-- The HistoryPropagationScope of what they are shown; NULL: nothing.
ALTER TABLE instances ADD COLUMN shown INTEGER;
ALTER TABLE activities ADD COLUMN shown INTEGER;
