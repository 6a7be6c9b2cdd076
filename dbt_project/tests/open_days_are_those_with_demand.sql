{{ config(meta={'dagster': {'ref': {'name': 'demand_calendar'}}}) }}

-- A store is open on a day when it has any row that day, and its open days are numbered from one.
with demand_days as (

    select
        store_id,
        date,
        count(*) as demand_rows
    from {{ ref('stg_demand') }}
    group by store_id, date

),

numbered as (

    select
        *,
        row_number() over (partition by store_id order by date) as open_day
    from demand_days

),

final as (

    select
        coalesce(numbered.store_id, demand_calendar.store_id) as store_id,
        coalesce(numbered.date, demand_calendar.date) as date
    from numbered
    full outer join {{ ref('demand_calendar') }} as demand_calendar
        on
            numbered.store_id = demand_calendar.store_id
            and numbered.date = demand_calendar.date
    where
        numbered.demand_rows is distinct from demand_calendar.demand_rows
        or numbered.open_day is distinct from demand_calendar.open_day

)

select * from final
