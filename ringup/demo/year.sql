-- The supermarket year as its data set has it, in the shape of the shop's databases.
-- `number` is the bill's place in the year: by time, then by id. The past are the bills up to the variable `past`,
-- moved by the variable `shift` so that the next one is sold now. Times are UTC.

-- The western stores run another till system.
create macro till_of(store_id) as if(store_id between 400 and 499, 'west', 'pos');

create macro pos_card(member_id) as 'LC' || lpad(member_id::varchar, 6, '0');

-- The western stores' cards have an EAN-13, as those that shops give out to themselves: 29, the member, a check digit.
create macro checked(digits) as digits || (
    10 - list_sum([digits[i]::integer * if(i % 2 = 0, 3, 1) for i in range(1, 13)]) % 10
) % 10;

create macro west_card(member_id) as checked('29' || lpad(member_id::varchar, 10, '0'));

create table bills as
select
    row_number() over (order by happened_at, bill_id)::integer as number,
    *,
    floor(total)::integer as points,
    till_of(store_id) as till,
    if(till_of(store_id) = 'west', west_card(member_id), pos_card(member_id)) as card
from (
    select
        basket_id as bill_id,
        any_value(household_id) as member_id,
        any_value(store_id)::integer as store_id,
        any_value(transaction_timestamp) as happened_at,
        sum(sales_value::decimal(12, 2)) as total,
        sum(retail_disc::decimal(12, 2) + coupon_disc::decimal(12, 2) + coupon_match_disc::decimal(12, 2)) as discount,
        sum(coupon_disc) > 0 as has_coupons
    from 'transactions.parquet'
    group by basket_id
)
order by number;

create table lines as
select
    bills.number,
    row_number() over (partition by bills.number order by product_id)::integer as line_no,
    product_id::integer as product_id,
    quantity::integer as quantity,
    sales_value::decimal(12, 2) as amount,
    retail_disc::decimal(12, 2) as retail_discount,
    coupon_disc::decimal(12, 2) as coupon_discount,
    coupon_match_disc::decimal(12, 2) as coupon_match_discount
from 'transactions.parquet' as transactions
join bills on transactions.basket_id = bills.bill_id
order by bills.number, line_no;

-- The set knows only the day of a redemption. It goes with the household's bill of that day, best one with a coupon
-- discount; without a bill on that day it is booked with the household's next bill, and names none.
create table redemptions as
select
    row_number() over (order by bills.number, coupon_upc, campaign_id) as redemption_id,
    bills.number,
    bills.happened_at::date = day as is_of_bill,
    coupon_upc,
    campaign_id
from (
    select
        coupon_upc,
        campaign_id::integer as campaign_id,
        redemption_date::date as day,
        arg_min(bills.number, row(happened_at::date, not has_coupons, bills.number)) as number
    from 'coupon_redemptions.parquet' as redemptions
    join bills on redemptions.household_id = bills.member_id and bills.happened_at >= redemption_date
    group by household_id, coupon_upc, campaign_id, redemption_date
) as nearest
join bills on nearest.number = bills.number
order by redemption_id;

create table members as
select
    member_id,
    pos_card(member_id) as loyalty_card,
    west_card(member_id) as west_card,
    any_value(age) as age_band,
    any_value(income) as income_band,
    any_value(home_ownership) as home_ownership,
    any_value(marital_status) as marital_status,
    any_value(household_size) as household_size,
    any_value(kids_count) as kids_count
from bills
left join 'demographics.parquet' as demographics on bills.member_id = demographics.household_id
group by member_id
order by member_id;

create view past as
select *, happened_at + getvariable('shift') as sold_at from bills where number <= getvariable('past');

create schema pos;

create view pos.stores as
select distinct store_id, 'Store ' || store_id as name from main.bills where till = 'pos' order by store_id;

create view pos.tills as
select store_id as till_id, store_id, 1 as number from pos.stores order by till_id;

create view pos.products as
select
    product_id::integer as product_id,
    manufacturer_id::integer as manufacturer_id,
    department,
    brand,
    product_category as category,
    product_type,
    package_size
from 'products.parquet'
order by product_id;

create view pos.bills as
select bill_id, store_id, store_id as till_id, card as loyalty_card, sold_at, total, discount
from main.past
where till = 'pos'
order by number;

create view pos.bill_lines as
select
    bill_id, line_no, product_id, quantity, amount, retail_discount, coupon_discount, coupon_match_discount
from main.lines
join main.past using (number)
where till = 'pos'
order by number, line_no;

create view pos.points_ledger as
select number as entry_id, bill_id, card as loyalty_card, points, 'earned' as reason, sold_at as booked_at
from main.past
where till = 'pos'
order by number;

create view pos.coupon_redemptions as
select
    redemption_id,
    if(is_of_bill, bill_id, null) as bill_id,
    card as loyalty_card,
    coupon_upc,
    campaign_id,
    sold_at as redeemed_at
from main.redemptions
join main.past using (number)
where till = 'pos'
order by redemption_id;

create schema west;

create view west.branch as
select distinct store_id as branch_no, 'Store ' || store_id as branch_name
from main.bills
where till = 'west'
order by branch_no;

create view west.receipt as
select
    number as receipt_no,
    bill_id as fiscal_no,
    store_id as branch_no,
    1 as register_no,
    1 as status,
    card as card_no,
    epoch_ms(sold_at) as rung_up_ms,
    (total * 100)::integer as paid_cents,
    (discount * 100)::integer as reduced_cents,
    points as points_given
from main.past
where till = 'west'
order by number;

create view west.receipt_item as
select
    number as receipt_no,
    line_no as item_no,
    product_id as article_no,
    quantity as units,
    1 as status,
    (amount * 100)::integer as paid_cents,
    ((retail_discount + coupon_discount + coupon_match_discount) * 100)::integer as reduced_cents
from main.lines
join main.past using (number)
where till = 'west'
order by number, line_no;

create view west.coupon_use as
select
    redemption_id as use_no,
    if(is_of_bill, number, null) as receipt_no,
    card as card_no,
    coupon_upc as upc,
    campaign_id as campaign_no,
    epoch_ms(sold_at) as used_ms
from main.redemptions
join main.past using (number)
where till = 'west'
order by redemption_id;
