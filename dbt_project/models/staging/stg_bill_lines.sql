select profile_id, bill_id, line_no, product_id, quantity, amount
from {{ source('pos', 'bill_lines') }}
