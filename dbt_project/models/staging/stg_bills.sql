select profile_id, 'pos' as till_system, bill_id, store_id, sold_at, total
from {{ source('pos', 'bills') }}
union all
select
    profile_id,
    'west' as till_system,
    receipt_no as bill_id,
    branch_no as store_id,
    make_timestamptz(rung_up_ms * 1000) as sold_at,
    cast(paid_cents * 0.01 as decimal(12, 2)) as total
from {{ source('west', 'receipt') }}
where status = 1  -- paid; 2 is void, 3 is training
