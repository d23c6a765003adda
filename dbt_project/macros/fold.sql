{# Before a plain `dbt build` or `dbt run`: brings the source tables in dbt's own DuckDB file to where the lake is. Other
   commands take them as they are; what is not there is made, empty. #}
{% macro fold() -%}
    {%- if execute and flags.WHICH != 'compile' -%}
        {%- set named = api.Relation.create(database=target.database, schema='ringup_lake', identifier='folded') -%}
        {%- set asked = {'sources': graph.sources, 'command': flags.WHICH} -%}
        {%- do adapter.store_relation('ringup', named, [], '', '', asked) -%}
    {%- endif -%}
{%- endmacro %}
