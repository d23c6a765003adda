select profile_id, bill_id, store_id, sold_at, total
from {{ source('pos', 'bills') }}
