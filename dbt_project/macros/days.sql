{#- Days since 1970-01-01, as an integer. -#}
{% macro epoch_day(date) -%}
    {{ dbt.datediff("cast('1970-01-01' as date)", date, 'day') }}
{%- endmacro %}


{#- The date `days` days before `date`. -#}
{% macro days_before(date, days) -%}
    cast({{ dbt.dateadd('day', -days, date) }} as date)
{%- endmacro %}


{#- The moment, in UTC, from which a store's latest `date` counts as delivered in full. -#}
{% macro final_from(date) -%}
    {{ dbt.dateadd('hour', 24 + env_var('SCALECAST_DAY_FINAL_HOUR', '6') | int, date) }}
{%- endmacro %}


{#- The last day of the date's month. -#}
{% macro last_day_of_month(date) -%}
    {{ dbt.last_day(date, 'month') }}
{%- endmacro %}


{#- Now, in UTC; or the var `as_of`. -#}
{% macro now_utc() -%}
    {%- if var('as_of', none) is none -%}
        (current_timestamp at time zone 'utc')
    {%- else -%}
        cast('{{ var("as_of") }}' as timestamp)
    {%- endif -%}
{%- endmacro %}


{#- A set of the whole numbers from `first` to `last`, to be joined laterally. -#}
{% macro each_number(first, last) -%}
    generate_series({{ first }}, {{ last }})
{%- endmacro %}
