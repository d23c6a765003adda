select
    orders.profile_id,
    cast(orders.order_id as varchar) as event_id,
    orders.ordered_at as event_at,
    coalesce(customers.first_name, 'dear customer') as first_name,
    orders.total
from {{ source('shop', 'orders') }} as orders
join {{ source('shop', 'customers') }} as customers on orders.profile_id = customers.profile_id
