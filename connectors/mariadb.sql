-- The columns of all tables that this login may see: schema, table, whether it has a primary key, column, type.
select
    tables.table_schema,
    tables.table_name,
    exists (
        select 1 from information_schema.statistics
        where statistics.table_schema = tables.table_schema
          and statistics.table_name = tables.table_name
          and statistics.index_name = 'PRIMARY'
    ),
    columns.column_name,
    columns.data_type
from information_schema.tables as tables
join information_schema.columns as columns
    on columns.table_schema = tables.table_schema and columns.table_name = tables.table_name
where tables.table_type = 'BASE TABLE'
  and tables.table_schema not in ('information_schema', 'mysql', 'performance_schema', 'sys')
order by tables.table_schema, tables.table_name, columns.ordinal_position
