-- The till's database. Money is in the shop's currency. Points are one for each whole unit of a bill's total.
create schema pos;

create table pos.stores (
    store_id integer primary key,
    name text not null
);

create table pos.tills (
    till_id integer primary key,
    store_id integer not null references pos.stores,
    number integer not null
);

create table pos.products (
    product_id integer primary key,
    manufacturer_id integer not null,
    department text not null,
    brand text not null,
    category text,
    product_type text,
    package_size text
);

create table pos.bills (
    bill_id bigint primary key,
    store_id integer not null references pos.stores,
    till_id integer not null references pos.tills,
    loyalty_card text not null,
    sold_at timestamptz not null,
    total numeric(12, 2) not null,
    discount numeric(12, 2) not null
);

-- product_id refers to nothing: the real tills sold products that are not in the real product list.
create table pos.bill_lines (
    bill_id bigint not null references pos.bills,
    line_no integer not null,
    product_id integer not null,
    quantity integer not null,
    amount numeric(12, 2) not null,
    retail_discount numeric(12, 2) not null,
    coupon_discount numeric(12, 2) not null,
    coupon_match_discount numeric(12, 2) not null,
    primary key (bill_id, line_no)
);

create table pos.points_ledger (
    entry_id bigint primary key,
    bill_id bigint references pos.bills,
    loyalty_card text not null,
    points integer not null,
    reason text not null check (reason in ('earned', 'redeemed')),
    booked_at timestamptz not null
);

create table pos.coupon_redemptions (
    redemption_id bigint primary key,
    bill_id bigint references pos.bills,
    loyalty_card text not null,
    coupon_upc bigint not null,
    campaign_id integer not null,
    redeemed_at timestamptz not null
);

-- Not captured: what the demo remembers of itself.
create schema demo;

create table demo.past (
    bills integer not null,
    loaded_at timestamptz not null
);
