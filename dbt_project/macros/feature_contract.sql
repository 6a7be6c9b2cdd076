{#- What the feature tables mean, in words; kept as their comment. -#}
{% macro feature_contract() -%}
    feature semantics {{ var('feature_semantics') }}, calendar {{ calendar_mode() }}
{%- endmacro %}


{#- `store` (the default) or `observed`; anything else is an error. -#}
{% macro calendar_mode() -%}
    {%- set mode = env_var('SCALECAST_CALENDAR', 'store') -%}
    {%- if mode not in ('store', 'observed') -%}
        {{ exceptions.raise_compiler_error(
            "SCALECAST_CALENDAR is '" ~ mode ~ "'; expected 'store' or 'observed'"
        ) }}
    {%- endif -%}
    {{ return(mode) }}
{%- endmacro %}


{#- True if the table was built under another contract than today's. -#}
{% macro contract_has_changed() -%}
    {%- set existing = load_cached_relation(this) -%}
    {%- if not execute or existing is none -%}
        {{ return(false) }}
    {%- endif -%}
    {%- set comment = run_query(
        "select obj_description('" ~ existing ~ "'::regclass, 'pg_class')"
    ).columns[0].values()[0] -%}
    {{ return(comment != feature_contract() | trim) }}
{%- endmacro %}


{#- dbt's own rule, and one more: a table built under another contract is rebuilt from the start,
    because two semantics never share a table. dbt's incremental materialization asks this macro. -#}
{% macro should_full_refresh() -%}
    {%- set wanted = config.get('full_refresh') -%}
    {%- if wanted is none -%}
        {%- set wanted = flags.FULL_REFRESH -%}
    {%- endif -%}
    {%- if wanted or model.config.get('incremental_strategy') != 'replace_changed' -%}
        {{ return(wanted) }}
    {%- endif -%}
    {{ return(contract_has_changed()) }}
{%- endmacro %}
