select profile_id, 'pos' as till_system, bill_id, line_no, product_id, quantity, amount
from {{ source('pos', 'bill_lines') }}
union all
select
    profile_id,
    'west' as till_system,
    receipt_no as bill_id,
    item_no as line_no,
    article_no as product_id,
    units as quantity,
    cast(paid_cents * 0.01 as decimal(12, 2)) as amount
from {{ source('west', 'receipt_item') }}
where status = 1  -- as the receipt's
