{{ config(indexes=[{'columns': ['store_id', 'date', 'product_id'], 'unique': true}]) }}

{%- set observed = calendar_mode() == 'observed' -%}

-- In steps: which rows of demand are read (all, or those that changed days can see) -> codes and
-- the store's calendar beside them -> days without a row put between -> windows -> the features.

-- `not materialized`: Postgres knows the size of a table, not that of a CTE it has set aside
with demand as not materialized (

    select * from {{ ref('stg_demand') }}

),

demand_calendar as not materialized (

    select * from {{ ref('demand_calendar') }}

),

product_codes as not materialized (

    select * from {{ source('warehouse', 'id_codes') }}
    where kind = 'product'

),

changed_ranges as (

    select * from {{ source('warehouse', 'changed_ranges') }}

),

{% if is_incremental() %}

built as not materialized (

    select
        store_id,
        date,
        is_final
    from {{ this }}

),

-- per store the first day to be made again
changed as (

    {{ changed_days('changed_ranges', 'demand_calendar', 'built') }}

),

-- the open day that lag_14 of the first changed day lies on, however long the store was closed
furthest_steps as (

    select
        changed.store_id,
        min(demand_calendar.open_day - demand_calendar.lag_14_steps) as open_day
    from changed
    inner join demand_calendar
        on
            changed.store_id = demand_calendar.store_id
            and changed.from_date <= demand_calendar.date
    group by changed.store_id

),

-- per store how far back the changed days see: 56 days, or that far; `observed` counts rows: all
scope as (

    select
        changed.store_id,
        changed.from_date,
        {% if observed %} cast('0001-01-01' as date)
        {% else %} least(furthest_days.date, {{ days_before('changed.from_date', 56) }})
        {% endif %} as load_from
    from changed
    left join furthest_steps
        on changed.store_id = furthest_steps.store_id
    left join demand_calendar as furthest_days
        on
            furthest_steps.store_id = furthest_days.store_id
            and furthest_steps.open_day = furthest_days.open_day

),

recent_demand as (

    select
        demand.*,
        scope.load_from
    from demand
    inner join scope
        on
            demand.store_id = scope.store_id
            and demand.date >= scope.load_from
    -- so that few rows reach the join
    where demand.date >= (select min(earliest.load_from) from scope as earliest)

),

-- only series with a recent row: others have no row on a changed day
recent_series as (

    select
        store_id,
        product_id,
        load_from
    from recent_demand
    group by store_id, product_id, load_from

),

-- looked up by the key of demand: as many index probes as there are series
first_days as (

    select
        recent_series.*,
        (
            select demand.date
            from demand
            where
                demand.store_id = recent_series.store_id
                and demand.product_id = recent_series.product_id
            order by demand.date
            limit 1
        ) as date
    from recent_series

),

-- A series' first row is always there: history is counted from it, and so are the days without row
-- that lags may reach. Of an earlier row nothing but its day is ever seen in a changed one.
loaded as (

    select
        store_id,
        product_id,
        date,
        quantity_sold,
        price,
        promotion,
        load_from
    from recent_demand
    union all
    select
        store_id,
        product_id,
        date,
        0 as quantity_sold,
        null as price,
        false as promotion,
        load_from
    from first_days
    where date < load_from

),

{% else %}

loaded as (

    select
        *,
        cast('0001-01-01' as date) as load_from
    from demand

),

{% endif %}

-- left joins: codes and open days exist for every row (tests say so), and Postgres then knows
-- that there are no fewer rows after the join; sorting by codes is faster than by text
coded as (

    select
        demand_calendar.store_id_encoded as store_code,
        product_codes.code as product_code,
        demand_calendar.day,
        demand_calendar.open_day,
        demand_calendar.lag_7_steps,
        demand_calendar.lag_14_steps,
        loaded.quantity_sold,
        loaded.price,
        loaded.promotion,
        {{ epoch_day('loaded.load_from') }} as load_day
    from loaded
    left join product_codes
        on loaded.product_id = product_codes.id
    left join demand_calendar
        on
            loaded.store_id = demand_calendar.store_id
            and loaded.date = demand_calendar.date

),

-- what is between a row and the next of its series is told from both
rows_as_they_came as (

    select
        *,
        false as is_imputed,
        true as is_active,
        row_number() over series as row_of_series,
        first_value(day) over series as first_day,
        lead(open_day) over series as next_open_day,
        lead(day) over series as next_day
    from coded
    window series as (partition by store_code, product_code order by day)

),

{% if observed %}

series_days as (

    select
        store_code,
        product_code,
        day,
        row_of_series as position,
        7 as lag_7_steps,
        14 as lag_14_steps,
        quantity_sold,
        price,
        promotion,
        is_imputed,
        is_active,
        row_of_series,
        first_day
    from rows_as_they_came

),

{% else %}

-- the open days between two rows of a series, and up to 56 days after its latest
days_without_row as (

    select
        latest_row.store_code,
        latest_row.product_code,
        demand_calendar.day,
        demand_calendar.lag_7_steps,
        demand_calendar.lag_14_steps,
        latest_row.price,
        demand_calendar.day <= latest_row.day + 56 as is_active,
        latest_row.row_of_series,
        latest_row.first_day
    from rows_as_they_came as latest_row
    cross join lateral {{ each_number(
        'greatest(latest_row.day + 1, latest_row.load_day)',
        'coalesce(latest_row.next_day - 1, latest_row.day + 56)'
    ) }} as without_row (day)
    inner join demand_calendar
        on
            latest_row.store_code = demand_calendar.store_id_encoded
            and without_row.day = demand_calendar.day
    where
        demand_calendar.is_final
        and (
            latest_row.next_open_day is null
            or latest_row.next_open_day > latest_row.open_day + 1
        )

),

-- every open day from a series' first row on: lags may count rows, and frames days
series_days as (

    select
        store_code,
        product_code,
        day,
        day as position,
        lag_7_steps,
        lag_14_steps,
        quantity_sold,
        price,
        promotion,
        is_imputed,
        is_active,
        row_of_series,
        first_day
    from rows_as_they_came
    union all
    select
        store_code,
        product_code,
        day,
        day as position,
        lag_7_steps,
        lag_14_steps,
        cast(0 as double precision) as quantity_sold,
        price,
        false as promotion,
        true as is_imputed,
        is_active,
        row_of_series,
        first_day
    from days_without_row

),

{% endif %}

-- a float frame is summed anew for each row, oldest day first: the same bits on every way here
windowed as (

    select
        *,
        lag(quantity_sold, 1) over series as lag_1,
        lag(quantity_sold, lag_7_steps) over series as lag_7,
        lag(quantity_sold, lag_14_steps) over series as lag_14,
        sum(quantity_sold) over week_before as sum_7,
        stddev_samp(quantity_sold) over week_before as std_7,
        sum(quantity_sold) over fortnight_before as sum_14
    from series_days
    window
        series as (
            partition by store_code, product_code order by position
        ),
        week_before as (
            partition by store_code, product_code order by position
            range between 7 preceding and 1 preceding
        ),
        fortnight_before as (
            partition by store_code, product_code order by position
            range between 14 preceding and 1 preceding
        )

),

-- how many days the windows hold; null where one reaches before the series' first row
counted as (

    select
        windowed.*,
        demand_calendar.store_id,
        demand_calendar.date,
        demand_calendar.is_final,
        demand_calendar.day_of_week,
        demand_calendar.month,
        demand_calendar.week_of_year,
        demand_calendar.is_weekend,
        demand_calendar.is_month_start,
        demand_calendar.is_month_end,
        windowed.day - windowed.first_day as history_days,
        {% if observed %}
        nullif(least(windowed.row_of_series - 1, 7), 0) as days_7,
        nullif(least(windowed.row_of_series - 1, 14), 0) as days_14,
        windowed.row_of_series > 14 as has_history
        {% else %}
        case
            when windowed.day - windowed.first_day >= 7 then demand_calendar.open_days_7
        end as days_7,
        case
            when windowed.day - windowed.first_day >= 14 then demand_calendar.open_days_14
        end as days_14,
        windowed.day - windowed.first_day >= 14 and demand_calendar.open_days_14 > 0 as has_history
        {% endif %}
    from windowed
    left join demand_calendar
        on
            windowed.store_code = demand_calendar.store_id_encoded
            and windowed.day = demand_calendar.day
    where windowed.is_active

),

final as (

    select
        counted.store_id,
        product_codes.id as product_id,
        counted.date,
        counted.quantity_sold,
        counted.is_imputed,
        counted.history_days,
        counted.has_history,
        counted.is_final,
        counted.day_of_week,
        counted.month,
        counted.week_of_year,
        counted.is_weekend,
        counted.is_month_start,
        counted.is_month_end,
        counted.lag_1,
        counted.lag_7,
        counted.lag_14,
        coalesce(
            counted.sum_7 / nullif(counted.days_7, 0),
            counted.sum_14 / nullif(counted.days_14, 0)
        ) as rolling_mean_7,
        case
            when counted.days_7 is not null then coalesce(counted.std_7, 0)
        end as rolling_std_7,
        counted.sum_14 / nullif(counted.days_14, 0) as rolling_mean_14,
        counted.price,
        case when counted.promotion then 1 else 0 end as promotion,
        counted.store_code as store_id_encoded,
        counted.product_code as product_id_encoded
    from counted
    left join product_codes
        on counted.product_code = product_codes.code
    {% if is_incremental() %}
    inner join scope
        on
            counted.store_id = scope.store_id
            and counted.date >= scope.from_date
    {% endif %}

)

select * from final
