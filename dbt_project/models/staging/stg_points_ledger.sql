select profile_id, 'pos' as till_system, entry_id, bill_id, points, reason, booked_at
from {{ source('pos', 'points_ledger') }}
union all
select
    profile_id,
    'west' as till_system,
    receipt_no as entry_id,
    receipt_no as bill_id,
    points_given as points,
    'earned' as reason,
    make_timestamptz(rung_up_ms * 1000) as booked_at
from {{ source('west', 'receipt') }}
where status = 1  -- paid; 2 is void, 3 is training
