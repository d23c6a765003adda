insert into pos.bills (bill_id, store_id, till_id, loyalty_card, sold_at, total, discount)
values (%(bill_id)s, %(store_id)s, %(store_id)s, %(card)s, now(), %(total)s, %(discount)s);

insert into pos.bill_lines
    (bill_id, line_no, product_id, quantity, amount, retail_discount, coupon_discount, coupon_match_discount)
select %(bill_id)s, *
from unnest(
    %(line_no)s::integer[], %(product_id)s::integer[], %(quantity)s::integer[], %(amount)s::numeric[],
    %(retail_discount)s::numeric[], %(coupon_discount)s::numeric[], %(coupon_match_discount)s::numeric[]
);

insert into pos.points_ledger (entry_id, bill_id, loyalty_card, points, reason, booked_at)
values (%(number)s, %(bill_id)s, %(card)s, %(points)s, 'earned', now());

insert into pos.coupon_redemptions (redemption_id, bill_id, loyalty_card, coupon_upc, campaign_id, redeemed_at)
select redemption_id, case when is_of_bill then %(bill_id)s end, %(card)s, coupon_upc, campaign_id, now()
from unnest(%(redemption_id)s::bigint[], %(is_of_bill)s::boolean[], %(coupon_upc)s::bigint[], %(campaign_id)s::integer[])
    as coupons (redemption_id, is_of_bill, coupon_upc, campaign_id)
