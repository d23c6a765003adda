-- What a scheduled run's file keeps for itself, beside the source tables.
create schema if not exists ringup_lake;

-- Of each source table how far the lake was folded into it: JSON, {"partition": offset}. `declared` is what its rows
-- depend on besides: the log, the topic, the columns and the key.
create table if not exists ringup_lake.folded (
    relation varchar not null,
    declared varchar not null,
    positions varchar not null
);
