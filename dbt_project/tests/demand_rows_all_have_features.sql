{{ config(meta={'dagster': {'ref': {'name': 'demand_features'}}}) }}

-- Rows in and rows out, per store: each published row has features, and nothing else has but the
-- rows marked imputed.
with demand as (

    select
        store_id,
        count(*) as n_rows
    from {{ ref('stg_demand') }}
    group by store_id

),

features as (

    select
        store_id,
        count(*) as n_rows
    from {{ ref('demand_features') }}
    where not is_imputed
    group by store_id

),

final as (

    select
        coalesce(demand.store_id, features.store_id) as store_id,
        demand.n_rows as demand_rows,
        features.n_rows as feature_rows
    from demand
    full outer join features
        on demand.store_id = features.store_id
    where coalesce(demand.n_rows, 0) != coalesce(features.n_rows, 0)

)

select * from final
