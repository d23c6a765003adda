select
    tier,
    points as from_points,
    coalesce(lead(points) over (order by points) - 1, 2147483647) as to_points,
    lead(tier) over (order by points) as next_tier,
    lead(points) over (order by points) as next_points
from {{ source('crm', 'tiers') }}
