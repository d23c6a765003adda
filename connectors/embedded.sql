-- The embedded log: what Kafka's topics would hold, in one SQLite file.
create table if not exists topics (
    id integer primary key,
    name text not null unique,
    next integer not null default 0     -- the offset that the topic's next record gets
);

create table if not exists records (
    seq integer primary key,            -- the order of arrival over all topics
    topic integer not null,
    partition integer not null default 0,
    offset integer not null,
    key text,
    value text,                         -- null: a tombstone
    at integer not null,                -- when it was appended, in microseconds since 1970
    unique (topic, partition, offset)
);

-- How far each source was read, in Debezium's own words; it commits with the records.
create table if not exists progress (source text primary key, resume text not null);

-- The record with which the first snapshot of all sources was complete: nothing up to it may fire.
create table if not exists snapshot (complete_at integer not null);
