with demand as (

    select * from {{ source('warehouse', 'demand_data') }}

),

final as (

    select
        store_id,
        product_id,
        date,
        quantity_sold,
        price,
        promotion
    from demand

)

select * from final
