select profile_id, first_name, tier, next_tier, points_to_next_tier
from {{ ref('customers') }}
where points_to_next_tier <= 100
