-- The customer database. Tiers go by the points earned over a lifetime; rewards are paid with the balance.
create schema crm;

create table crm.members (
    member_id bigint primary key,
    loyalty_card text not null unique,
    west_card text not null unique,
    email text,
    mobile text,
    first_name text not null,
    last_name text not null,
    time_zone text not null,
    birthday date,
    joined_at timestamptz not null,
    age_band text,
    income_band text,
    home_ownership text,
    marital_status text,
    household_size text,
    kids_count text,
    updated_at timestamptz not null
);

create table crm.consents (
    member_id bigint not null references crm.members,
    channel text not null,
    granted boolean not null,
    changed_at timestamptz not null,
    primary key (member_id, channel)
);

create table crm.tiers (
    tier text primary key,
    rank integer not null unique,
    points integer not null
);

create table crm.rewards (
    reward_id integer primary key,
    name text not null,
    points integer not null
);

insert into crm.tiers values ('Bronze', 1, 0), ('Silver', 2, 250), ('Gold', 3, 750), ('Platinum', 4, 2000);

insert into crm.rewards values
    (1, 'Coffee', 100),
    (2, 'Fresh bread for a week', 250),
    (3, 'Coffee for two', 500),
    (4, 'Breakfast for two', 1000),
    (5, 'Fruit box every week of a month', 2500);
