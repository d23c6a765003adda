-- What the receiver got. One row per webhook-id; `times` counts how often it came.
create table if not exists messages (
    webhook_id text primary key,
    type text not null,
    profile_id integer not null,
    event_id text not null,
    times integer not null,
    received_at real not null,      -- the first time, in seconds since 1970
    age_ms real not null            -- from the commit in the source database to the first time
) without rowid;
