{{ config(materialized='view') }}

select
    profile_id,
    till_system,
    entry_id,
    bill_id,
    reason,
    points,
    booked_at,
    cast(sum(points) over so_far as bigint) as balance,
    cast(sum(if(reason = 'earned', points, 0)) over so_far as bigint) as points_earned
from {{ ref('stg_points_ledger') }}
window so_far as (partition by profile_id order by booked_at, till_system, entry_id)
