{#- The days that have to be made again, one row per (store_id): `from_date` and all later ones.

    A store's days change from `warehouse.changed_ranges` on, and when its latest day, not final
    when it was built, may have become so. The open day before is taken along: it was the latest
    day then, or is now, and so it may change from final to not final or back.

    ranges    relation of warehouse.changed_ranges
    calendar  relation of demand_calendar
    built     relation with the rows built earlier: has store_id, date, is_final -#}
{% macro changed_days(ranges, calendar, built) -%}
    select
        marked.store_id,
        coalesce(
            (
                select max(earlier.date)
                from {{ calendar }} as earlier
                where
                    earlier.store_id = marked.store_id
                    and earlier.date < marked.from_date
            ),
            marked.from_date
        ) as from_date
    from (
        select
            marks.store_id,
            min(marks.from_date) as from_date
        from (
            select
                store_id,
                from_date
            from {{ ranges }}
            union all
            select
                latest.store_id,
                latest.date as from_date
            from (
                select
                    store_id,
                    max(date) as date
                from {{ calendar }}
                group by store_id
            ) as latest
            where not (
                select coalesce(bool_and(unsettled.is_final), true)
                from {{ built }} as unsettled
                where
                    unsettled.store_id = latest.store_id
                    and unsettled.date = latest.date
            )
        ) as marks
        group by marks.store_id
    ) as marked
{%- endmacro %}


{#- The incremental strategy `replace_changed`: the changed days go, the new ones come, in dbt's one
    transaction. Stores and series without rows any more go with their days. Rows go store by store,
    because Postgres then knows how few they are, and finds them by the index. -#}
{% macro get_incremental_replace_changed_sql(arg_dict) -%}
    {%- set target = arg_dict['target_relation'] -%}
    {%- set columns = arg_dict['dest_columns'] | map(attribute='quoted') | join(', ') -%}
    {%- set calendar = target.incorporate(path={'identifier': 'demand_calendar'}) -%}
    do $$
    declare
        changed record;
    begin
        for changed in
            {{ changed_days(source('warehouse', 'changed_ranges'), calendar, target) }}
        loop
            delete from {{ target }} as built
            where
                built.store_id = changed.store_id
                and built.date >= changed.from_date;
        end loop;
    end
    $$;

    insert into {{ target }} ({{ columns }})
    select {{ columns }} from {{ arg_dict['temp_relation'] }}
{%- endmacro %}
