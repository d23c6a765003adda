{{ config(meta={'refresh': 'scheduled'}) }}

select profile_id, first_name, recency, frequency, monetary
from {{ ref('rfm') }}
where recency = 5 and frequency = 5 and monetary = 5
