{{ config(meta={'dagster': {'ref': {'name': 'demand_features'}}}) }}

-- One pass over the features, grouped by number. That they have the calendar's store codes is among
-- what `features_match_the_calendar` says.
with products as (

    select
        product_id_encoded,
        min(product_id) as lowest_id,
        max(product_id) as highest_id
    from {{ ref('demand_features') }}
    group by product_id_encoded

),

used as (

    select
        'product' as kind,
        lowest_id as id,
        product_id_encoded as code
    from products
    union all
    select
        'product' as kind,
        highest_id as id,
        product_id_encoded as code
    from products
    union all
    select
        'store' as kind,
        store_id as id,
        store_id_encoded as code
    from {{ ref('demand_calendar') }}
    group by store_id, store_id_encoded

),

final as (

    select used.*
    from used
    left join {{ source('warehouse', 'id_codes') }} as id_codes
        on
            used.kind = id_codes.kind
            and used.id = id_codes.id
            and used.code = id_codes.code
    where id_codes.code is null

)

select * from final
