select profile_id, member_id, loyalty_card, first_name, last_name, email, mobile, time_zone, joined_at
from {{ source('crm', 'members') }}
