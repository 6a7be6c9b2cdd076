-- No CTEs: Postgres would not look through a view with any, nor use the order of the key within
select
    store_id,
    product_id,
    date,
    quantity_sold,
    price,
    promotion
from {{ source('warehouse', 'demand_data') }}
