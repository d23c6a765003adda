-- The supermarket year as its data set has it, in the shape of the shop's databases.
-- `number` is the bill's place in the year: by time, then by id. The past are the bills up to the variable `past`,
-- moved by the variable `shift` so that the next one is sold now. Times are UTC.

create table bills as
select
    row_number() over (order by happened_at, bill_id)::integer as number,
    *,
    floor(total)::integer as points,
    'LC' || lpad(member_id::varchar, 6, '0') as loyalty_card
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
    bills.bill_id,
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
    case when bills.happened_at::date = day then bills.bill_id end as bill_id,
    bills.loyalty_card,
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
    any_value(loyalty_card) as loyalty_card,
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

create schema pos;

create view pos.stores as
select distinct store_id, 'Store ' || store_id as name from main.bills order by store_id;

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
select
    bill_id,
    store_id,
    store_id as till_id,
    loyalty_card,
    happened_at + getvariable('shift') as sold_at,
    total,
    discount
from main.bills
where number <= getvariable('past')
order by number;

create view pos.bill_lines as
select * exclude (number) from main.lines where number <= getvariable('past') order by number, line_no;

create view pos.points_ledger as
select
    number as entry_id,
    bill_id,
    loyalty_card,
    points,
    'earned' as reason,
    happened_at + getvariable('shift') as booked_at
from main.bills
where number <= getvariable('past')
order by number;

create view pos.coupon_redemptions as
select
    redemption_id,
    redemptions.bill_id,
    redemptions.loyalty_card,
    coupon_upc,
    campaign_id,
    happened_at + getvariable('shift') as redeemed_at
from main.redemptions
join main.bills using (number)
where number <= getvariable('past')
order by redemption_id;
