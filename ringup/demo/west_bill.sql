insert into west.receipt
    (receipt_no, fiscal_no, branch_no, register_no, status, card_no, rung_up_ms, paid_cents, reduced_cents, points_given)
values
    (%(number)s, %(bill_id)s, %(store_id)s, 1, 1, %(card)s, %(now_ms)s, %(total)s * 100, %(discount)s * 100, %(points)s);

insert into west.receipt_item (receipt_no, item_no, article_no, units, status, paid_cents, reduced_cents)
values
    (
        %(number)s, %(line_no)s, %(product_id)s, %(quantity)s, 1, %(amount)s * 100,
        (%(retail_discount)s + %(coupon_discount)s + %(coupon_match_discount)s) * 100
    );

insert into west.coupon_use (use_no, receipt_no, card_no, upc, campaign_no, used_ms)
values (%(redemption_id)s, %(receipt_no)s, %(card)s, %(coupon_upc)s, %(campaign_id)s, %(now_ms)s)
