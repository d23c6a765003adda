-- The columns of every table that can be captured, in their order. Domains are followed to what they are made of, and a
-- foreign key counts where it refers to the other table's primary key: that is what rows are found by.
with recursive
bases as (
    select oid, oid as base, -1 as modifier from pg_type where typtype <> 'd'
    union all
    select made.oid, under.base, coalesce(nullif(made.typtypmod, -1), under.modifier)
    from pg_type as made
    join bases as under on under.oid = made.typbasetype
    where made.typtype = 'd'
)
select
    space.nspname,
    class.relname,
    obj_description(class.oid, 'pg_class'),
    part.attname,
    base.typname,
    base.typtype = 'e',
    base.typcategory = 'A',
    coalesce(nullif(part.atttypmod, -1), bases.modifier),
    format_type(part.atttypid, part.atttypmod),
    part.attnotnull,
    (
        select array_position(i.indkey::int2[], part.attnum) from pg_index as i
        where i.indrelid = class.oid and i.indisprimary
    ),
    (
        select format('%%s.%%s', there.nspname, other.relname)
        from pg_constraint as c
        join pg_class as other on other.oid = c.confrelid
        join pg_namespace as there on there.oid = other.relnamespace
        join pg_constraint as key on key.conrelid = other.oid and key.contype = 'p' and key.conkey = c.confkey
        where c.conrelid = class.oid and c.contype = 'f' and c.conkey = array[part.attnum]
        order by c.conname
        limit 1
    )
from pg_class as class
join pg_namespace as space on space.oid = class.relnamespace
join pg_attribute as part on part.attrelid = class.oid and part.attnum > 0 and not part.attisdropped
join bases on bases.oid = part.atttypid
join pg_type as base on base.oid = bases.base
where class.relkind in ('r', 'p')
  and not class.relispartition
  and class.relpersistence = 'p'
  and space.nspname not in ('pg_catalog', 'information_schema')
order by space.nspname, class.relname, part.attnum
