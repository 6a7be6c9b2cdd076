{{ config(meta={'dagster': {'ref': {'name': 'demand_features'}}}) }}

-- Per store and day, in one pass over the features: each open day has its rows and no other day has
-- any; each row of demand is among them; beside those are only imputed ones; and calendar and
-- features agree on the store's code and on whether the day is final.
with feature_days as (

    select
        store_id,
        date,
        count(*) - sum(cast(is_imputed as integer)) as demand_rows,
        min(store_id_encoded) as lowest_code,
        max(store_id_encoded) as highest_code,
        bool_and(is_final) as all_final,
        bool_or(is_final) as any_final
    from {{ ref('demand_features') }}
    group by store_id, date

),

final as (

    select
        coalesce(demand_calendar.store_id, feature_days.store_id) as store_id,
        coalesce(demand_calendar.date, feature_days.date) as date
    from feature_days
    full outer join {{ ref('demand_calendar') }} as demand_calendar
        on
            feature_days.store_id = demand_calendar.store_id
            and feature_days.date = demand_calendar.date
    where
        demand_calendar.demand_rows is distinct from feature_days.demand_rows
        or demand_calendar.store_id_encoded is distinct from feature_days.lowest_code
        or demand_calendar.store_id_encoded is distinct from feature_days.highest_code
        or demand_calendar.is_final is distinct from feature_days.all_final
        or demand_calendar.is_final is distinct from feature_days.any_final

)

select * from final
