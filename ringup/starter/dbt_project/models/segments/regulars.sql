select
    customers.profile_id,
    coalesce(customers.first_name, 'dear customer') as first_name,
    customers.email,
    count(*) as orders,
    sum(orders.total) as spend
from {{ source('shop', 'customers') }} as customers
join {{ source('shop', 'orders') }} as orders on customers.profile_id = orders.profile_id
group by customers.profile_id, customers.first_name, customers.email
having count(*) >= 5
