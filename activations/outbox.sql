-- The ledgers of what goes out. Rows are only ever added, in the transaction of the batch that they belong to.

-- name: create
create schema if not exists live.ringup;

-- Every decision, with what each rule said and saw. One row per candidate and activation.
create table if not exists live.ringup.decisions (
    activation varchar not null,
    profile_id bigint not null,
    event_id varchar not null,
    verdict varchar not null,       -- send, defer, suppress
    rules varchar not null,         -- JSON: [{"rule", "passed", "saw"}]
    decided_at timestamptz not null
);

-- Every message, in the order in which messages of one profile go out. One row per delivery_id.
create table if not exists live.ringup.outbox (
    seq bigint not null,
    delivery_id varchar not null,
    activation varchar not null,
    channel varchar not null,
    profile_id bigint not null,
    event_id varchar not null,
    kind varchar not null,          -- fired, entered, exited, updated
    body varchar not null,          -- the message's JSON, as it is sent
    committed_at timestamptz not null,
    created_at timestamptz not null
);

-- A state of before there was `kind`: a segment's change has it in its event_id, and anything else was a trigger.
alter table live.ringup.outbox add column if not exists kind varchar;

update live.ringup.outbox
set kind = if(regexp_full_match(event_id, '(entered|exited|updated)@.*'), split_part(event_id, '@', 1), 'fired')
where kind is null;

-- Every attempt. One row per attempt that ended; after delivered or rejected there is no further one.
create table if not exists live.ringup.receipts (
    delivery_id varchar not null,
    seq bigint not null,
    state varchar not null,         -- delivered, retry, rejected, unknown
    attempt bigint not null,
    ended_at timestamptz not null,
    detail varchar not null,
    status bigint
);

-- name: digits
-- What the filter of known ids is filled with at a start, a hundred thousand ids a row.
select string_agg(right(delivery_id, $digits), '')
from live.ringup.outbox
group by seq // 100_000

-- name: known
-- Which of these ids are in the outbox. The narrow column is looked at first, so that few ids are read.
select delivery_id
from live.ringup.outbox
where profile_id in (select unnest($profiles)) and delivery_id in (select unnest($ids))

-- name: pending
-- The oldest unfinished messages of a channel after a place in the outbox. The places are found first, in narrow
-- columns, so that the bodies of a long backlog are not read to send its beginning.
with finished as (
    select seq from live.ringup.receipts where seq > $after and state in ('delivered', 'rejected')
),

places as (
    select seq
    from live.ringup.outbox
    where seq > $after and channel = $channel and seq not in (select seq from finished)
    order by seq
    limit $limit
)

select delivery_id, seq, activation, channel, profile_id, event_id, kind, body, committed_at, created_at
from live.ringup.outbox
where seq in (select seq from places)
order by seq

-- name: counts
-- How many messages are in each state. `pending` has no receipt yet, or one that was not the end of it.
with latest as (
    select seq, bool_or(state = 'delivered') as delivered, bool_or(state = 'rejected') as rejected
    from live.ringup.receipts
    group by seq
)

select
    count(*) as messages,
    count(*) filter (latest.delivered) as delivered,
    count(*) filter (latest.rejected) as rejected,
    count(*) filter (not coalesce(latest.delivered or latest.rejected, false)) as pending
from live.ringup.outbox as outbox
left join latest on outbox.seq = latest.seq

-- name: messages
-- The newest messages of one profile, each with how its last attempt ended.
with chosen as (
    select seq, delivery_id, activation, channel, event_id, body, committed_at
    from live.ringup.outbox
    where profile_id = $profile_id
    order by seq desc
    limit $limit
),

latest as (
    select seq, arg_max(receipts, ended_at) as receipt
    from live.ringup.receipts as receipts
    where seq in (select seq from chosen)
    group by seq
)

select
    chosen.* exclude (seq),
    coalesce(latest.receipt.state, 'pending') as state,
    latest.receipt.attempt as attempts,
    latest.receipt.ended_at as ended_at,
    latest.receipt.detail as detail
from chosen
left join latest on chosen.seq = latest.seq
order by chosen.seq desc
