-- The bills after one number, up to another, each with its lines and coupons.
select
    bills.number,
    bills.till,
    bills.bill_id,
    bills.store_id,
    bills.card,
    bills.total,
    bills.discount,
    bills.points,
    (
        select
            struct_pack(
                line_no := list(line_no order by line_no),
                product_id := list(product_id order by line_no),
                quantity := list(quantity order by line_no),
                amount := list(amount order by line_no),
                retail_discount := list(retail_discount order by line_no),
                coupon_discount := list(coupon_discount order by line_no),
                coupon_match_discount := list(coupon_match_discount order by line_no)
            )
        from lines
        where lines.number = bills.number and lines.number > $after and lines.number <= $upto
    ) as lines,
    (
        select
            struct_pack(
                redemption_id := list(redemption_id order by redemption_id),
                is_of_bill := list(is_of_bill order by redemption_id),
                coupon_upc := list(coupon_upc order by redemption_id),
                campaign_id := list(campaign_id order by redemption_id)
            )
        from redemptions
        where redemptions.number = bills.number
    ) as coupons
from bills
where bills.number > $after and bills.number <= $upto
order by bills.number
