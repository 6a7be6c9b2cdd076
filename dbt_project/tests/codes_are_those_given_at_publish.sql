{{ config(meta={'dagster': {'ref': {'name': 'demand_features'}}}) }}

with used as (

    select
        'store' as kind,
        store_id as id,
        store_id_encoded as code
    from {{ ref('demand_features') }}
    group by store_id, store_id_encoded
    union all
    select
        'product' as kind,
        product_id as id,
        product_id_encoded as code
    from {{ ref('demand_features') }}
    group by product_id, product_id_encoded

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
