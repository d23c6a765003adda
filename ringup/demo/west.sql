-- The till system of the western stores, another vendor's. Money is in whole cents, times in milliseconds since 1970.
-- Points are on the receipt: one for each whole unit of its total.
create schema west;

create table west.branch (
    branch_no integer primary key,
    branch_name varchar(100) not null
);

create table west.receipt (
    receipt_no bigint primary key,
    fiscal_no bigint not null unique,
    branch_no integer not null references west.branch (branch_no),
    register_no smallint not null,
    status smallint not null check (status in (1, 2, 3)),   -- paid, void, training
    card_no char(13) not null,                              -- EAN-13
    rung_up_ms bigint not null,
    paid_cents integer not null,
    reduced_cents integer not null,
    points_given integer not null
);

create table west.receipt_item (
    receipt_no bigint not null references west.receipt (receipt_no),
    item_no integer not null,
    article_no integer not null,
    units integer not null,
    status smallint not null check (status in (1, 2, 3)),
    paid_cents integer not null,
    reduced_cents integer not null,
    primary key (receipt_no, item_no)
);

create table west.coupon_use (
    use_no bigint primary key,
    receipt_no bigint references west.receipt (receipt_no),
    card_no char(13) not null,
    upc bigint not null,
    campaign_no integer not null,
    used_ms bigint not null
);
