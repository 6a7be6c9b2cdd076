{#- The expression is true in each row; unknown (null) counts as broken. -#}
{% test holds(model, expression) %}

select *
from {{ model }}
where ({{ expression }}) is not true

{% endtest %}
