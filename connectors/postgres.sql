-- The tables that can be captured: schema, name, has a primary key, has full before images, is in the publication,
-- may be read by this user, names of columns.
select
    space.nspname,
    class.relname,
    exists (select from pg_index as i where i.indrelid = class.oid and i.indisprimary),
    class.relreplident = 'f',
    exists (
        select from pg_publication_tables as p
        where p.pubname = %s and p.schemaname = space.nspname and p.tablename = class.relname
    ),
    has_schema_privilege(space.oid, 'usage') and has_table_privilege(class.oid, 'select'),
    array(select attname::text from pg_attribute where attrelid = class.oid and attnum > 0 and not attisdropped)
from pg_class as class
join pg_namespace as space on space.oid = class.relnamespace
where class.relkind in ('r', 'p')
  and not class.relispartition
  and class.relpersistence = 'p'
  and space.nspname not in ('pg_catalog', 'information_schema')
order by 1, 2
