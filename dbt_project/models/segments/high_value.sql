select profile_id, first_name, tier, visits, spend, favourite_store, favourite_department
from {{ ref('customers') }}
where spend >= 1500
