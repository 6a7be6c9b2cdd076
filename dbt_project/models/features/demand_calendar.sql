with demand as (

    select * from {{ ref('stg_demand') }}

),

store_codes as (

    select * from {{ source('warehouse', 'id_codes') }}
    where kind = 'store'

),

changed_ranges as (

    select * from {{ source('warehouse', 'changed_ranges') }}

),

{% if is_incremental() %}

-- `not materialized`: single days of it are looked up by its index
built as not materialized (

    select * from {{ this }}

),

changed as (

    {{ changed_days('changed_ranges', 'built', 'built') }}

),

-- fourteen days more than what is replaced, so that the windows below are whole
scope as (

    select
        changed.store_id,
        changed.from_date,
        {{ days_before('changed.from_date', 14) }} as load_from
    from changed

),

days_not_loaded as (

    select
        scope.store_id,
        count(*) as n_days
    from scope
    inner join built
        on
            scope.store_id = built.store_id
            and scope.load_from > built.date
    group by scope.store_id

),

{% endif %}

open_days as (

    select
        demand.store_id,
        demand.date,
        count(*) as demand_rows
    from demand
    {% if is_incremental() %}
    inner join scope
        on
            demand.store_id = scope.store_id
            and demand.date >= scope.load_from
    -- so that few rows reach the join
    where demand.date >= (select min(earliest.load_from) from scope as earliest)
    {% endif %}
    group by demand.store_id, demand.date

),

numbered as (

    select
        store_id,
        date,
        demand_rows,
        {{ epoch_day('date') }} as day,
        max(date) over (partition by store_id) as latest_date,
        row_number() over (partition by store_id order by date) as open_day
    from open_days

),

counted as (

    select
        *,
        count(*) over (
            partition by store_id order by day
            range between 6 preceding and 1 preceding
        ) as open_days_6,
        count(*) over (
            partition by store_id order by day
            range between 7 preceding and 1 preceding
        ) as open_days_7,
        count(*) over (
            partition by store_id order by day
            range between 13 preceding and 1 preceding
        ) as open_days_13,
        count(*) over (
            partition by store_id order by day
            range between 14 preceding and 1 preceding
        ) as open_days_14
    from numbered

),

final as (

    select
        counted.store_id,
        counted.date,
        store_codes.code as store_id_encoded,
        counted.day,
        counted.demand_rows,
        {% if calendar_mode() == 'store' %}
        (
            counted.date < counted.latest_date
            or {{ now_utc() }} >= {{ final_from('counted.date') }}
        ) as is_final,
        {% else %}
        true as is_final,
        {% endif %}
        cast(
            counted.open_day
            {% if is_incremental() %} + coalesce(days_not_loaded.n_days, 0) {% endif %}
            as integer
        ) as open_day,
        -- lag_7 lies one open day further back than the open days of the six days before
        cast(counted.open_days_6 + 1 as integer) as lag_7_steps,
        cast(counted.open_days_13 + 1 as integer) as lag_14_steps,
        cast(counted.open_days_7 as integer) as open_days_7,
        cast(counted.open_days_14 as integer) as open_days_14,
        cast(extract(isodow from counted.date) as integer) - 1 as day_of_week,
        cast(extract(month from counted.date) as integer) as month,
        cast(extract(week from counted.date) as integer) as week_of_year,
        case when extract(isodow from counted.date) >= 6 then 1 else 0 end as is_weekend,
        case when extract(day from counted.date) = 1 then 1 else 0 end as is_month_start,
        case
            when counted.date = {{ last_day_of_month('counted.date') }} then 1
            else 0
        end as is_month_end
    from counted
    left join store_codes
        on counted.store_id = store_codes.id
    {% if is_incremental() %}
    inner join scope
        on counted.store_id = scope.store_id
    left join days_not_loaded
        on counted.store_id = days_not_loaded.store_id
    where counted.date >= scope.from_date
    {% endif %}

)

select * from final
