{# The only clock of a continuous model: ringup's own in the live run, else the start of the dbt run or `--vars 'as_of: ...'`. #}
{% macro as_of() -%}
    {%- if target.name == 'live' -%}
        (select as_of from {{ api.Relation.create(target.database, 'ringup', 'clock') }})
    {%- else -%}
        timestamptz '{{ var("as_of", run_started_at.isoformat()) }}'
    {%- endif -%}
{%- endmacro %}
