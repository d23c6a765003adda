with

points as (
    select
        profile_id,
        cast(sum(points) as bigint) as balance,
        cast(sum(if(reason = 'earned', points, 0)) as bigint) as earned
    from {{ ref('stg_points_ledger') }}
    group by profile_id
),

visits_by_store as (
    select
        profile_id,
        store_id,
        count(*) as visits,
        sum(total) as spend,
        min(sold_at) as first_visit_at,
        max(sold_at) as last_visit_at
    from {{ ref('stg_bills') }}
    group by profile_id, store_id
),

visits as (
    select
        profile_id,
        arg_max(store_id, row(visits, store_id)) as store_id,
        cast(sum(visits) as bigint) as visits,
        cast(sum(spend) as decimal(18, 2)) as spend,
        max(last_visit_at) as last_visit_at,
        (epoch(max(last_visit_at)) - epoch(min(first_visit_at))) / 86400 as days
    from visits_by_store
    group by profile_id
),

spend_by_department as (
    select lines.profile_id, products.department, sum(lines.amount) as spend
    from {{ ref('stg_bill_lines') }} as lines
    join {{ ref('stg_products') }} as products on lines.product_id = products.product_id
    group by lines.profile_id, products.department
),

departments as (
    select profile_id, arg_max(department, row(spend, department)) as department
    from spend_by_department
    group by profile_id
)

select
    members.profile_id,
    members.member_id,
    members.first_name,
    members.last_name,
    members.loyalty_card,
    members.time_zone,
    coalesce(points.balance, 0) as points,
    coalesce(points.earned, 0) as points_earned,
    tiers.tier,
    tiers.next_tier,
    tiers.next_points - coalesce(points.earned, 0) as points_to_next_tier,
    coalesce(visits.visits, 0) as visits,
    coalesce(visits.spend, 0) as spend,
    visits.last_visit_at,
    stores.name as favourite_store,
    departments.department as favourite_department,
    round(visits.days / nullif(visits.visits - 1, 0), 1) as average_days_between_visits
from {{ ref('stg_members') }} as members
left join points on members.profile_id = points.profile_id
left join visits on members.profile_id = visits.profile_id
left join departments on members.profile_id = departments.profile_id
left join {{ ref('stg_stores') }} as stores on visits.store_id = stores.store_id
left join {{ ref('stg_tiers') }} as tiers
    on coalesce(points.earned, 0) between tiers.from_points and tiers.to_points
