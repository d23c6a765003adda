select store_id, name
from {{ source('pos', 'stores') }}
union all
select branch_no as store_id, branch_name as name
from {{ source('west', 'branch') }}
