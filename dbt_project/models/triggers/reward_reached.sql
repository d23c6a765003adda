select
    history.profile_id,
    rewards.reward_id || '-' || history.till_system || '-' || history.entry_id as event_id,
    history.booked_at as event_at,
    members.first_name,
    rewards.name as reward,
    rewards.price,
    history.balance
from {{ ref('points_history') }} as history
join {{ ref('stg_members') }} as members on history.profile_id = members.profile_id
join {{ ref('stg_rewards') }} as rewards
    on history.balance - history.points < rewards.price
    and history.balance >= rewards.price
