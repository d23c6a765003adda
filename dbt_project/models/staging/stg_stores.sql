select store_id, name
from {{ source('pos', 'stores') }}
