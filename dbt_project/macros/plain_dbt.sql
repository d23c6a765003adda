{# Before a plain `dbt build`, which works on a DuckDB file of its own: source tables that are not there are made, empty. #}
{% macro plain_dbt() -%}
    {%- if execute and flags.WHICH != 'compile' -%}
        {%- if target.path.endswith('live.duckdb') -%}
            {{ exceptions.raise_compiler_error(
                "live.duckdb is what ringup run keeps; dbt would overwrite it. Set RINGUP_DUCKDB to a file of your own."
            ) }}
        {%- endif -%}
        {%- for table in graph.sources.values() -%}
            {%- set columns = {'profile_id': 'bigint'} -%}
            {%- for column in table.columns.values() -%}
                {%- do columns.update({column.name: column.data_type}) -%}
            {%- endfor -%}
            {%- set typed = [] -%}
            {%- for name, data_type in columns.items() -%}
                {%- do typed.append(adapter.quote(name) ~ ' ' ~ data_type) -%}
            {%- endfor -%}
            {%- set schema = api.Relation.create(database=table.database, schema=table.schema).without_identifier() -%}
            {%- do run_query('create schema if not exists ' ~ schema) -%}
            {%- do run_query('create table if not exists ' ~ api.Relation.create(
                database=table.database, schema=table.schema, identifier=table.identifier
            ) ~ ' (' ~ typed | join(', ') ~ ')') -%}
        {%- endfor -%}
    {%- endif -%}
{%- endmacro %}
