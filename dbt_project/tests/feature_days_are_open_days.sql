{{ config(meta={'dagster': {'ref': {'name': 'demand_features'}}}) }}

-- Each row stands on a day of the calendar, and agrees with it on whether the day is final.
with feature_days as (

    select
        store_id,
        date,
        bool_and(is_final) as all_final,
        bool_or(is_final) as any_final
    from {{ ref('demand_features') }}
    group by store_id, date

),

final as (

    select
        feature_days.store_id,
        feature_days.date
    from feature_days
    left join {{ ref('demand_calendar') }} as demand_calendar
        on
            feature_days.store_id = demand_calendar.store_id
            and feature_days.date = demand_calendar.date
    where
        demand_calendar.is_final is null
        or demand_calendar.is_final != feature_days.all_final
        or demand_calendar.is_final != feature_days.any_final

)

select * from final
