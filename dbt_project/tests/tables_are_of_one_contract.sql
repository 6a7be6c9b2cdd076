{{ config(meta={'dagster': {'ref': {'name': 'demand_features'}}}) }}

-- Both tables say in their comment that they were built under today's semantics and calendar.
with commented as (

    select obj_description(cast('{{ ref("demand_calendar") }}' as regclass), 'pg_class') as contract
    union all
    select obj_description(cast('{{ ref("demand_features") }}' as regclass), 'pg_class') as contract

),

final as (

    select contract
    from commented
    where contract is distinct from '{{ feature_contract() }}'

)

select * from final
