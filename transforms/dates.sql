-- The day of each record, in UTC: of the commit in its source, else of the envelope (marks of transactions, heartbeats,
-- notifications). Rows keep their order. What is no JSON, or lies beyond all years, has no day.
select
    case
        when micros between epoch_us(timestamp '0001-01-01') and epoch_us(timestamp '9999-12-31 23:59:59.999999')
            then make_timestamp(micros::bigint)::date
    end as day
from (
    select
        coalesce(
            said.source.ts_us::hugeint,
            said.source.ts_ms::hugeint * 1000,
            said.ts_ms::hugeint * 1000,
            said.timestamp::hugeint * 1000
        ) as micros
    from (
        select
            try(
                json_transform(
                    value,
                    '{"source": {"ts_us": "BIGINT", "ts_ms": "BIGINT"}, "ts_ms": "BIGINT", "timestamp": "BIGINT"}'
                )
            ) as said
        from raw
    )
)
