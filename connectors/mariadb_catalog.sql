-- The columns of all tables that this login may see, in their order.
with
own as (
    select table_schema, table_name, table_comment
    from information_schema.tables
    where table_type = 'BASE TABLE'
      and table_schema not in ('information_schema', 'mysql', 'performance_schema', 'sys')
),
parts as (
    select table_schema, table_name, column_name, seq_in_index
    from information_schema.statistics
    where index_name = 'PRIMARY'
),
ways as (
    select
        used.table_schema,
        used.table_name,
        min(used.column_name) as column_name,
        min(concat(used.referenced_table_schema, '.', used.referenced_table_name)) as there
    from information_schema.key_column_usage as used
    join parts
        on parts.table_schema = used.referenced_table_schema
        and parts.table_name = used.referenced_table_name
        and parts.column_name = used.referenced_column_name
    group by used.table_schema, used.table_name, used.constraint_name
    having count(*) = 1
),
refers as (
    select table_schema, table_name, column_name, min(there) as there
    from ways
    group by table_schema, table_name, column_name
)
select
    own.table_schema,
    own.table_name,
    own.table_comment,
    columns.column_name,
    columns.data_type,
    columns.column_type,
    columns.numeric_precision,
    columns.numeric_scale,
    columns.extra like '%auto_increment%',
    columns.is_nullable = 'YES',
    parts.seq_in_index,
    refers.there
from own
join information_schema.columns as columns
    on columns.table_schema = own.table_schema and columns.table_name = own.table_name
left join parts
    on parts.table_schema = own.table_schema
    and parts.table_name = own.table_name
    and parts.column_name = columns.column_name
left join refers
    on refers.table_schema = own.table_schema
    and refers.table_name = own.table_name
    and refers.column_name = columns.column_name
order by own.table_schema, own.table_name, columns.ordinal_position
