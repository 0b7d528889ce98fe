-- The sidecar's database, version 1. Times are nanoseconds since the Unix epoch; events are encoded HistoryEvents.
-- A released version is never edited: a change is a new version and a step that leads to it.

CREATE TABLE instances (
    key INTEGER PRIMARY KEY AUTOINCREMENT,  -- never used twice, so that late results can not reach a successor
    id TEXT NOT NULL UNIQUE,
    status INTEGER NOT NULL,                -- OrchestrationStatus
    suspended INTEGER NOT NULL,
    start BLOB NOT NULL,                    -- ExecutionStartedEvent without its input
    parent INTEGER,                         -- key of the instance that waits for this one
    not_before INTEGER,                     -- scheduled start, until it is due
    created_at INTEGER NOT NULL,
    started_at INTEGER,
    updated_at INTEGER NOT NULL,
    completed_at INTEGER
);
CREATE INDEX instances_by_parent ON instances (parent) WHERE parent IS NOT NULL;
CREATE INDEX instances_by_creation ON instances (created_at);

-- What only a client reads, apart from the row that every turn rewrites.
CREATE TABLE results (
    instance INTEGER PRIMARY KEY,
    custom_status TEXT,
    output TEXT,
    failure BLOB                            -- TaskFailureDetails
);

-- Append-only: one row for each turn of the current execution, with all events that the turn committed.
CREATE TABLE history (
    instance INTEGER NOT NULL,
    first INTEGER NOT NULL,                 -- index of the first event
    count INTEGER NOT NULL,
    events BLOB NOT NULL,                   -- pastEvents fields of an OrchestratorRequest
    PRIMARY KEY (instance, first)
) WITHOUT ROWID;

-- Events that wait for a turn, in order of arrival.
CREATE TABLE inbox (
    instance INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    event BLOB NOT NULL,
    PRIMARY KEY (instance, sequence)
) WITHOUT ROWID;

-- Activities whose result is not known yet, in order of their scheduling.
CREATE TABLE activities (
    sequence INTEGER PRIMARY KEY,
    instance INTEGER NOT NULL,
    execution TEXT,                         -- results of an earlier execution are of no use to the next
    event BLOB NOT NULL                     -- its taskScheduled
);
CREATE INDEX activities_by_instance ON activities (instance);

CREATE TABLE timers (
    fire_at INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    event BLOB,                             -- its timerFired; NULL is the scheduled start of the instance
    PRIMARY KEY (fire_at, sequence)
) WITHOUT ROWID;
CREATE INDEX timers_by_instance ON timers (instance);
