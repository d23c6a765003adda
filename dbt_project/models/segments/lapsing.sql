{{ config(meta={'sweep': '1 minute'}) }}

select profile_id, first_name, points, last_visit_at, average_days_between_visits, favourite_store
from {{ ref('customers') }}
where visits >= 5
    and last_visit_at < {{ as_of() }} - to_seconds(greatest(14, 3 * average_days_between_visits) * 86400)
