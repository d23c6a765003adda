select
    customers.profile_id,
    customers.first_name,
    customers.points,
    customers.last_visit_at,
    customers.average_days_between_visits,
    customers.favourite_store,
    rfm.monetary
from {{ ref('customers') }} as customers
left join {{ ref('rfm') }} as rfm on customers.profile_id = rfm.profile_id
where customers.visits >= 5
    and customers.last_visit_at
        < {{ as_of() }} - to_seconds(greatest(14, 3 * customers.average_days_between_visits) * 86400)
