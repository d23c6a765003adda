with

earned as (
    select
        profile_id,
        till_system,
        bill_id,
        cast(sum(points) as bigint) as points,
        arg_max(balance, row(booked_at, entry_id)) as balance,
        max(points_earned) as points_earned
    from {{ ref('points_history') }}
    where reason = 'earned'
    group by profile_id, till_system, bill_id
)

select
    bills.profile_id,
    bills.till_system || '-' || bills.bill_id as event_id,
    bills.sold_at as event_at,
    members.first_name,
    bills.total,
    earned.points,
    earned.balance,
    tiers.tier,
    tiers.next_tier,
    tiers.next_points - earned.points_earned as points_to_next_tier,
    coalesce(format('{:,} to {}', tiers.next_points - earned.points_earned, tiers.next_tier), 'the highest tier') as to_go
from {{ ref('stg_bills') }} as bills
join earned
    on bills.profile_id = earned.profile_id
    and bills.till_system = earned.till_system
    and bills.bill_id = earned.bill_id
join {{ ref('stg_members') }} as members on bills.profile_id = members.profile_id
left join {{ ref('stg_tiers') }} as tiers on earned.points_earned between tiers.from_points and tiers.to_points
