{#- The columns are unique because a valid unique index on exactly them says so: costs no scan. -#}
{% test key_is_enforced(model, columns) %}

select 1 as missing_index
where
    not exists (
        select 1
        from pg_index
        where
            pg_index.indrelid = cast('{{ model }}' as regclass)
            and pg_index.indisunique
            and pg_index.indisvalid
            and pg_index.indpred is null
            and array(
                select pg_attribute.attname
                from pg_attribute
                where
                    pg_attribute.attrelid = pg_index.indrelid
                    and pg_attribute.attnum = any(pg_index.indkey)
                order by pg_attribute.attname
            ) = cast(array['{{ columns | sort | join("', '") }}'] as name [])
    )

{% endtest %}
