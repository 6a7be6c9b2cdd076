{{ config(meta={'dagster': {'ref': {'name': 'demand_calendar'}}}) }}

with latest as (

    select
        store_id,
        max(date) as date
    from {{ ref('demand_calendar') }}
    group by store_id

),

final as (

    select
        demand_calendar.store_id,
        demand_calendar.date
    from {{ ref('demand_calendar') }} as demand_calendar
    inner join latest
        on demand_calendar.store_id = latest.store_id
    where
        demand_calendar.date < latest.date
        and not demand_calendar.is_final

)

select * from final
