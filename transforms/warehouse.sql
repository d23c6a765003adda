-- What the warehouse keeps for itself, beside the mirror tables and the models.
create schema if not exists live.ringup;

-- One row per committed batch; the newest row's positions are where the log is read on from.
create table if not exists live.ringup.commits (
    batch bigint not null,
    positions varchar not null,     -- JSON: {"topic": {"partition": offset}}
    changes bigint not null,
    committed_at timestamptz not null
);

-- The clock of the continuous models, and that of those which are swept.
create table if not exists live.ringup.clock (as_of timestamptz not null);
insert into live.ringup.clock select timestamptz 'epoch' where not exists (from live.ringup.clock);
create table if not exists live.ringup.swept (as_of timestamptz not null);
insert into live.ringup.swept select timestamptz 'epoch' where not exists (from live.ringup.swept);

-- Facts about this file: format, ready, and the fingerprint of each model that was built.
create table if not exists live.ringup.facts (name varchar not null, value varchar not null);

-- Which profile an identifier (a loyalty card, say) belongs to.
create table if not exists live.ringup.identifiers (kind varchar not null, value varchar not null, profile_id bigint not null);

-- Changes that could not be applied, with the reason; nothing is thrown away.
create table if not exists live.ringup.quarantine (
    topic varchar not null,
    "partition" integer not null,
    "offset" bigint not null,
    reason varchar not null,
    key varchar,
    value varchar,
    quarantined_at timestamptz not null
);

-- Identifiers whose profile changed in the batch at hand.
create temp table moved (kind varchar, value varchar, profile_id bigint);
