-- Changes of a shop with $profiles members, as Debezium's JSON: bills of six changes (a bill, four lines, its points).
-- Members, products and stores come first, as a snapshot would bring them.

-- name: snapshot
with stores as (
    select 'pos.pos.stores' as topic, {'store_id': i, 'name': 'Store ' || i} as row_image from range(1, 458) t(i)
),

products as (
    select 'pos.pos.products' as topic,
        {'product_id': i, 'manufacturer_id': i % 500, 'department': 'Department ' || (i % 31), 'brand': 'National',
         'category': 'Category ' || (i % 303), 'product_type': 'Type', 'package_size': '1'} as row_image
    from range(1, 20001) t(i)
),

tiers as (
    select 'crm.crm.tiers' as topic, {'tier': tier, 'rank': rank, 'points': points} as row_image
    from (values ('Basic', 1, 0), ('Silver', 2, 300), ('Gold', 3, 1000)) t(tier, rank, points)
),

rewards as (
    select 'crm.crm.rewards' as topic, {'reward_id': i, 'name': 'Reward ' || i, 'points': i * 250} as row_image
    from range(1, 4) t(i)
),

members as (
    select 'crm.crm.members' as topic,
        {'member_id': i, 'loyalty_card': 'LC' || i, 'west_card': '29' || lpad(i::varchar, 11, '0'),
         'email': 'm' || i || '@example.com', 'mobile': null::varchar,
         'first_name': 'First', 'last_name': 'Last', 'time_zone': 'UTC', 'birthday': '1980-01-01',
         'joined_at': '2020-01-01T00:00:00Z',
         'age_band': ['19-24', '25-34', '35-44', '45-54', '55-64', '65+'][1 + i % 6],
         'income_band': ['Under 15K', '15-24K', '35-49K', '50-74K', '100-124K'][1 + i % 5],
         'home_ownership': ['Homeowner', 'Renter', null][1 + i % 3],
         'marital_status': ['Married', 'Unmarried', null][1 + i % 3],
         'household_size': ['1', '2', '3', '4', '5+'][1 + i % 5], 'kids_count': ['0', '1', '2', '3+'][1 + i % 4],
         'updated_at': '2020-01-01T00:00:00Z'} as row_image
    from range(1, $profiles + 1) t(i)
),

everything as (
    select topic, to_json(row_image) as row_image from stores
    union all select topic, to_json(row_image) from products
    union all select topic, to_json(row_image) from tiers
    union all select topic, to_json(row_image) from rewards
    union all select topic, to_json(row_image) from members
)

select topic,
    '{"before":null,"after":' || row_image
    || ',"source":{"version":"3.6.3.Final","connector":"postgresql","name":"shop","ts_ms":1767225600000,'
    || '"snapshot":"true","db":"shop","sequence":null,"ts_us":1767225600000000,"schema":"shop","table":"t",'
    || '"txId":700,"lsn":1000,"xmin":null},"transaction":null,"op":"r","ts_ms":1767225600000}' as value
from everything

-- name: changes
with bills as (
    select i as bill_id, 1 + hash(i) % $profiles as member, 1 + hash(i + 1) % 457 as store_id,
        strftime(timestamp '2026-01-01' + to_milliseconds(i::bigint * 20), '%Y-%m-%dT%H:%M:%S.%fZ') as sold_at
    from range($first, $last) t(i)
),

rows as (
    select bill_id, 0 as n, 'pos.pos.bills' as topic,
        to_json({'bill_id': bill_id, 'store_id': store_id, 'till_id': store_id, 'loyalty_card': 'LC' || member,
         'sold_at': sold_at, 'total': '20.00', 'discount': '1.00'}) as row_image
    from bills
    union all
    select bill_id, n, 'pos.pos.bill_lines',
        to_json({'bill_id': bill_id, 'line_no': n, 'product_id': 1 + hash(bill_id * 8 + n) % 20000, 'quantity': 1,
         'amount': '5.00', 'retail_discount': '0.25', 'coupon_discount': '0.00', 'coupon_match_discount': '0.00'})
    from bills, range(1, 5) t(n)
    union all
    select bill_id, 5, 'pos.pos.points_ledger',
        to_json({'entry_id': bill_id, 'bill_id': bill_id, 'loyalty_card': 'LC' || member, 'points': 20,
         'reason': 'earned', 'booked_at': sold_at})
    from bills
)

select topic,
    '{"before":null,"after":' || row_image
    || ',"source":{"version":"3.6.3.Final","connector":"postgresql","name":"pos","ts_ms":1767225600000,'
    || '"snapshot":"false","db":"pos","sequence":"[\"1000\",\"1000\"]","ts_us":1767225600000000,"schema":"pos",'
    || '"table":"t","txId":' || bill_id || ',"lsn":' || (2000 + bill_id * 8 + n) || ',"xmin":null},"transaction":'
    || '{"id":"' || bill_id || ':1","total_order":' || (n + 1) || ',"data_collection_order":1},"op":"c","ts_ms":1767225600000}' as value
from rows
order by bill_id, n
