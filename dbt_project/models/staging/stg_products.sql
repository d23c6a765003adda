select product_id, department
from {{ source('pos', 'products') }}
