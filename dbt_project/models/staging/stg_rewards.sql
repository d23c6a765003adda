select reward_id, name, points as price
from {{ source('crm', 'rewards') }}
