select profile_id, entry_id, bill_id, points, reason, booked_at
from {{ source('pos', 'points_ledger') }}
