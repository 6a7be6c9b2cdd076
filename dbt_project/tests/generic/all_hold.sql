{#- Every rule is true in each row; unknown (null) counts as broken. `rules` names expressions; one
    pass over the table for all of them. A row that fails comes with the name of a rule it breaks. -#}
{% test all_hold(model, rules) %}

select
    case
        {% for name, rule in rules.items() %}
            when ({{ rule }}) is not true then '{{ name }}'
        {% endfor %}
    end as broken_rule,
    *
from {{ model }}
where
    {% for rule in rules.values() %}
        {{ 'or ' if not loop.first }}({{ rule }}) is not true
    {% endfor %}

{% endtest %}
