"""The rules of raw data: their names, what they mean, and the SQL that finds what breaks each.

The verdict itself is Great Expectations' (``checks/expectations.py``, which has one expectation per
rule here). These queries say which lines are meant: for the quarantine report, the sample of bad
lines and the count per file. All give (file_seq, line_no, column_name, value, rule, reason).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql

from scalecast_assets.contract.columns import MAX_PRICE, MAX_QUANTITY
from scalecast_assets.ingest import lines

DATE_IS_PLAUSIBLE: Final = "date_is_plausible"
QUANTITY_IS_NOT_NEGATIVE: Final = "quantity_is_not_negative"
PRICE_IS_POSITIVE: Final = "price_is_positive"
KEY_IS_UNIQUE: Final = "key_is_unique"
QUANTITY_IS_PLAUSIBLE: Final = "quantity_is_plausible"

EARLIEST_DAY: Final = "1970-01-01"


@dataclass(frozen=True)
class Rule:
    """One rule. A ``blocking`` one that is broken refuses the whole file; another one warns."""

    name: str
    description: str
    column: str | None = None
    blocking: bool = True
    lines: LiteralString | None = None
    """Query of the lines of ``landing.demand_rows`` that break it; None: the parser finds them."""


_VALUE: Final[LiteralString] = (
    "select l.file_seq, l.line_no, {column} as column_name, left(l.{name}::text, 200) as value,"
    " {rule} as rule, {reason} as reason from landing.demand_rows l where l.file_seq = any({files})"
)

_DATE: Final[LiteralString] = (
    _VALUE + " and (l.date < date '1970-01-01' or l.date > (now() at time zone 'utc')::date + 1)"
)
_QUANTITY: Final[LiteralString] = _VALUE + " and (l.quantity_sold < 0 or l.quantity_sold > 1e9)"
_PRICE: Final[LiteralString] = _VALUE + " and (l.price <= 0 or l.price > 1e9)"

_KEY: Final[LiteralString] = """
with twice as (
    select file_seq, store_id, product_id, date, min(line_no) as first_line, count(*) as times
    from landing.demand_rows
    where
        file_seq = any({files})
        and store_id is not null and product_id is not null and date is not null
    group by file_seq, store_id, product_id, date
    having count(*) > 1
)

select
    l.file_seq, l.line_no, 'store_id, product_id, date' as column_name,
    left(l.store_id || ', ' || l.product_id || ', ' || l.date, 200) as value,
    {rule} as rule,
    'this key is in the file ' || twice.times || ' times, first on line ' || twice.first_line
    as reason
from landing.demand_rows l
inner join twice using (file_seq, store_id, product_id, date)
where l.file_seq = any({files})
"""

# The scale is ln(1 + q), on which sales are roughly symmetric. A series is compared with the year
# before its first line in the file, or, where that has less than four weeks, with its own lines in
# the file but the largest (one mistake must not hide itself), or else with its product's. Where the
# product has less than four weeks too, with its store's other series, or, where the file has few of
# them, with the store's past year. Far are six deviations from its own mean and five from others':
# the first sale of 80,995 units in the Online Retail data is at 5.9 of its store's. Only series
# whose largest quantity stands out are read line by line. What another rule refuses anyway is left
# out and no exponent is above 50: exp() must not overflow, whatever is in the file.
_PLAUSIBLE: Final[LiteralString] = """
with incoming as materialized (
    select
        file_seq, store_id, product_id, min(date) as first_day, max(quantity_sold) as largest,
        count(*) - 1 as days,
        sum(ln(1 + quantity_sold)) - ln(1 + max(quantity_sold)) as total,
        sum(ln(1 + quantity_sold) ^ 2) - ln(1 + max(quantity_sold)) ^ 2 as squares
    from {rows}
    where file_seq = any({files}) and quantity_sold between 0 and 1e9 and store_id is not null
        and product_id is not null and date is not null
    group by file_seq, store_id, product_id
),

series as materialized (
    select
        incoming.file_seq, incoming.store_id, incoming.product_id, incoming.largest,
        incoming.first_day,
        case when past.days >= 28 then past.days else incoming.days end as days,
        case when past.days >= 28 then past.mean else total / nullif(incoming.days, 0) end as mean,
        case
            when past.days >= 28 then past.sd
            else sqrt(greatest(0, squares / nullif(incoming.days, 0)
                - (total / nullif(incoming.days, 0)) ^ 2))
        end as sd,
        incoming.days + 1 as lines,
        total + ln(1 + largest) as line_total,
        squares + ln(1 + largest) ^ 2 as line_squares
    from incoming
    cross join lateral (
        select
            count(*) as days, avg(ln(1 + w.quantity_sold)) as mean,
            coalesce(stddev_samp(ln(1 + w.quantity_sold)), 0) as sd
        from warehouse.demand_data w
        where
            w.store_id = incoming.store_id and w.product_id = incoming.product_id
            and w.date between incoming.first_day - 365 and incoming.first_day - 1
    ) past
),

product as (
    select
        product_id, sum(days) as days, sum(days * mean) / nullif(sum(days), 0) as mean,
        sqrt(greatest(0, sum(days * (sd ^ 2 + mean ^ 2)) / nullif(sum(days), 0)
            - (sum(days * mean) / nullif(sum(days), 0)) ^ 2)) as sd
    from series
    group by product_id
),

stranger as materialized (
    select *
    from (
        select
            file_seq, store_id, product_id, largest, first_day, product.days as product_days,
            sum(lines) over store - lines as lines,
            sum(line_total) over store - line_total as total,
            sum(line_squares) over store - line_squares as squares
        from series inner join product using (product_id)
        window store as (partition by store_id)
    ) everyone
    where product_days < 28
),

store_past as materialized (
    select few.store_id, past.lines, past.total, past.squares
    from (
        select store_id, min(first_day) as first_day from stranger where lines < 28
        group by store_id
    ) few
    cross join lateral (
        select
            count(*) as lines, sum(ln(1 + w.quantity_sold)) as total,
            sum(ln(1 + w.quantity_sold) ^ 2) as squares
        from warehouse.demand_data w
        where w.store_id = few.store_id
            and w.date between few.first_day - 365 and few.first_day - 1
    ) past
),

others as (
    select
        s.file_seq, s.store_id, s.product_id, s.largest,
        case when s.lines < 28 then p.lines else s.lines end as lines,
        case when s.lines < 28 then p.total else s.total end as total,
        case when s.lines < 28 then p.squares else s.squares end as squares
    from stranger s left join store_past p using (store_id)
),

bounds as materialized (
    select
        file_seq, store_id, product_id, largest, 'its and its product''s past' as what,
        exp(least(50, case when series.days >= 28 then series.mean else product.mean end)) - 1
        as usual,
        exp(least(50, greatest(
            case when series.days >= 28 then series.mean + 6 * greatest(series.sd, 0.5) end,
            product.mean + 5 * greatest(product.sd, 0.5)
        ))) - 1 as bound
    from series inner join product using (product_id)
    where product.days >= 28
    union all
    select
        file_seq, store_id, product_id, largest, 'what its store sells' as what,
        exp(least(50, total / lines)) - 1 as usual,
        exp(least(50, total / lines
            + 5 * greatest(0.5, sqrt(greatest(0, squares / lines - (total / lines) ^ 2))))) - 1
        as bound
    from others where lines >= 28
)

select
    l.file_seq, l.line_no, 'quantity_sold' as column_name, l.quantity_sold::text as value,
    {rule} as rule,
    'usual here is about ' || round(bounds.usual::numeric, 1) || ', and more than '
    || round(bounds.bound::numeric) || ' is far outside ' || bounds.what as reason
from bounds
inner join landing.demand_rows l using (file_seq, store_id, product_id)
where bounds.largest > bounds.bound and l.quantity_sold > bounds.bound
    and l.file_seq = any({files})
"""

KEYS_ARE_FEWER_THAN_ROWS: Final[LiteralString] = """
select counted.n from (
    select
        count(*) as n,
        count(distinct hashtextextended(
            product_id,
            hashtextextended(store_id, hashint8extended(file_seq, date - date '1970-01-01'))
        )) as different
    from {batch}
    where store_id is not null and product_id is not null and date is not null
) counted
where counted.different < counted.n
"""
"""Tells in one pass over ``{batch}`` whether a key may be there twice.

Sorting 64-bit hashes is six times as fast as grouping by the key (3.3 M rows). Two keys of equal
hash would be a false alarm, which the exact query of ``key_is_unique`` then denies.
"""

RULES: Final = (
    Rule(lines.COLUMNS_ARE_COMPLETE, "The header names each of the six columns, once."),
    Rule(
        lines.LINES_ARE_WELL_FORMED,
        "Every line is UTF-8 text with as many fields as the header, and quotes are closed.",
    ),
    Rule(lines.FILE_HAS_ROWS, "There is at least one line of data under the header."),
    Rule(lines.DATE_IS_A_DAY, "Every date exists and is written yyyy-mm-dd.", "date"),
    Rule(
        DATE_IS_PLAUSIBLE,
        f"No date is before {EARLIEST_DAY} or after tomorrow (UTC).",
        "date",
        lines=_DATE,
    ),
    Rule(lines.STORE_ID_IS_PRESENT, "Every line has a store_id.", "store_id"),
    Rule(lines.PRODUCT_ID_IS_PRESENT, "Every line has a product_id.", "product_id"),
    Rule(lines.QUANTITY_IS_A_NUMBER, "Every quantity_sold is a finite number.", "quantity_sold"),
    Rule(
        QUANTITY_IS_NOT_NEGATIVE,
        f"Every quantity_sold is between 0 and {MAX_QUANTITY:,.0f} units per day.",
        "quantity_sold",
        lines=_QUANTITY,
    ),
    Rule(lines.PRICE_IS_A_NUMBER, "Every price is a finite number.", "price"),
    Rule(
        PRICE_IS_POSITIVE,
        f"Every price is above zero and at most {MAX_PRICE:,.0f}.",
        "price",
        lines=_PRICE,
    ),
    Rule(
        lines.PROMOTION_IS_TRUE_OR_FALSE,
        "Every promotion is true/false, yes/no, t/f or 1/0.",
        "promotion",
    ),
    Rule(
        KEY_IS_UNIQUE,
        "No (store_id, product_id, date) is in one file twice.",
        lines=_KEY,
    ),
    Rule(
        QUANTITY_IS_PLAUSIBLE,
        "No quantity_sold is far outside what its series, product or store sells (a warning).",
        "quantity_sold",
        blocking=False,
        lines=_PLAUSIBLE,
    ),
)

_REASONS: Final = {
    DATE_IS_PLAUSIBLE: f"before {EARLIEST_DAY} or after tomorrow",
    QUANTITY_IS_NOT_NEGATIVE: f"not between 0 and {MAX_QUANTITY:,.0f}",
    PRICE_IS_POSITIVE: f"not above zero and at most {MAX_PRICE:,.0f}",
}


_LANDED: Final = sql.SQL("landing.demand_rows")


def bad_lines(rule: Rule, file_seqs: Sequence[int], rows: sql.SQL = _LANDED) -> sql.Composed:
    """The query of every line of the files that breaks the rule."""
    files = sql.SQL("array[{}]::bigint[]").format(
        sql.SQL(", ").join(sql.Literal(int(seq)) for seq in file_seqs)
    )
    if rule.lines is None:
        return sql.SQL(
            "select file_seq, line_no, column_name, value, rule, reason from landing.rejected_lines"
            " where file_seq = any({files}) and rule = {rule}"
        ).format(files=files, rule=sql.Literal(rule.name))
    return sql.SQL(rule.lines).format(
        files=files,
        rows=rows,
        rule=sql.Literal(rule.name),
        column=sql.Literal(rule.column),
        name=sql.Identifier(rule.column or ""),
        reason=sql.Literal(_REASONS.get(rule.name, "")),
    )
