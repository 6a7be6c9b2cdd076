{{ config(meta={'dagster': {'ref': {'name': 'demand_calendar'}}}) }}

-- A store is open on a day when it has any row that day, and its open days are numbered from one.
with demand as (

    select
        store_id,
        date
    from {{ ref('stg_demand') }}
    group by store_id, date

),

demand_days as (

    select
        store_id,
        count(*) as n_days,
        min(date) as first_date,
        max(date) as last_date
    from demand
    group by store_id

),

calendar_days as (

    select
        store_id,
        count(*) as n_days,
        max(open_day) as last_open_day,
        min(date) as first_date,
        max(date) as last_date
    from {{ ref('demand_calendar') }}
    group by store_id

),

final as (

    select coalesce(demand_days.store_id, calendar_days.store_id) as store_id
    from demand_days
    full outer join calendar_days
        on demand_days.store_id = calendar_days.store_id
    where
        demand_days.n_days is distinct from calendar_days.n_days
        or demand_days.n_days is distinct from calendar_days.last_open_day
        or demand_days.first_date is distinct from calendar_days.first_date
        or demand_days.last_date is distinct from calendar_days.last_date

)

select * from final
