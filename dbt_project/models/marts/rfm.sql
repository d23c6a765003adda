{{ config(meta={'refresh': 'scheduled'}) }}

select
    profile_id,
    first_name,
    last_visit_at,
    visits,
    spend,
    ntile(5) over (order by last_visit_at, profile_id) as recency,
    ntile(5) over (order by visits, profile_id) as frequency,
    ntile(5) over (order by spend, profile_id) as monetary
from {{ ref('customers') }}
where visits > 0
