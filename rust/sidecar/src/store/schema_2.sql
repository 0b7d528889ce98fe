-- From version 1 to version 2. Times are nanoseconds since the Unix epoch.

-- A resolution of a task, a timer or a child is for the execution that asked for it; NULL is for whichever one runs.
ALTER TABLE inbox ADD COLUMN execution TEXT;

-- The version that a worker has chosen for an instance: it is what the next worker has to have.
ALTER TABLE instances ADD COLUMN pinned TEXT;

-- What a worker has to have to run an activity; NULL is to be read in the event.
ALTER TABLE activities ADD COLUMN name TEXT;

-- Instances whose children are yet to be terminated, in the order of their terminations.
CREATE TABLE cascades (
    sequence INTEGER PRIMARY KEY,
    instance INTEGER NOT NULL,
    after INTEGER NOT NULL,                 -- key of the last child that was told
    event BLOB NOT NULL                     -- ExecutionTerminatedEvent
);
CREATE INDEX cascades_by_instance ON cascades (instance);

-- What is true of the database as a whole.
CREATE TABLE facts (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO facts VALUES ('openings', 0);           -- how often it was opened: numbers of rows are never used twice
-- Before the log is emptied into the database, and after: they differ while the log holds anything.
INSERT INTO facts VALUES ('log_expected', 0);
INSERT INTO facts VALUES ('log_seen', 0);

-- What instances are looked for by; until now it was in `start` alone. Filled in by the program.
ALTER TABLE instances ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN version TEXT;
ALTER TABLE instances ADD COLUMN execution TEXT;        -- id of the current execution
ALTER TABLE instances ADD COLUMN tags TEXT;             -- a JSON object of strings; NULL: none
-- In the order in which instances are listed.
CREATE INDEX instances_by_name ON instances (name, created_at);
CREATE INDEX instances_by_status ON instances (status, created_at);
INSERT INTO facts VALUES ('salt', random());        -- no other database's completion tokens fit this one's activities
