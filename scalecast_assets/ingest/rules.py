"""The rules of raw data: their names, what they mean, and the SQL that finds what breaks each.

The verdict itself is Great Expectations' (``checks/expectations.py``, which has one expectation per
rule here). These queries say which lines are meant: for the quarantine report, the sample of bad
lines and the count per file. All give (file_seq, line_no, column_name, value, rule, reason).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, LiteralString

from psycopg import sql

from scalecast_assets.contract.columns import MAX_QUANTITY
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
_PRICE: Final[LiteralString] = _VALUE + " and l.price <= 0"

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
# the file but the largest (one mistake must not hide itself). Only series whose largest quantity
# stands out are read line by line.
_PLAUSIBLE: Final[LiteralString] = """
with incoming as materialized (
    select
        file_seq, store_id, product_id, min(date) as first_day, max(quantity_sold) as largest,
        count(*) - 1 as days,
        sum(ln(1 + quantity_sold)) - ln(1 + max(quantity_sold)) as total,
        sum(ln(1 + quantity_sold) ^ 2) - ln(1 + max(quantity_sold)) ^ 2 as squares
    from {rows}
    where file_seq = any({files}) and quantity_sold >= 0 and store_id is not null
        and product_id is not null and date is not null
    group by file_seq, store_id, product_id
),

series as materialized (
    select
        incoming.file_seq, incoming.store_id, incoming.product_id, incoming.largest,
        case when past.days >= 28 then past.days else incoming.days end as days,
        case when past.days >= 28 then past.mean else total / nullif(incoming.days, 0) end as mean,
        case
            when past.days >= 28 then past.sd
            else sqrt(greatest(0, squares / nullif(incoming.days, 0)
                - (total / nullif(incoming.days, 0)) ^ 2))
        end as sd
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

bounds as materialized (
    select
        file_seq, store_id, product_id, largest,
        exp(case when series.days >= 28 then series.mean else product.mean end) - 1 as usual,
        exp(greatest(
            case when series.days >= 28 then series.mean + 6 * greatest(series.sd, 0.5) end,
            product.mean + 5 * greatest(product.sd, 0.5)
        )) - 1 as bound
    from series inner join product using (product_id)
    where product.days >= 28
)

select
    l.file_seq, l.line_no, 'quantity_sold' as column_name, l.quantity_sold::text as value,
    {rule} as rule,
    'usual here is about ' || round(bounds.usual::numeric, 1) || ', and more than '
    || round(bounds.bound::numeric) || ' is far outside its and its product''s past' as reason
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
    Rule(PRICE_IS_POSITIVE, "Every price is above zero.", "price", lines=_PRICE),
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
        "No quantity_sold is far outside its series' and its product's own past (a warning).",
        "quantity_sold",
        blocking=False,
        lines=_PLAUSIBLE,
    ),
)

_REASONS: Final = {
    DATE_IS_PLAUSIBLE: f"before {EARLIEST_DAY} or after tomorrow",
    QUANTITY_IS_NOT_NEGATIVE: f"not between 0 and {MAX_QUANTITY:,.0f}",
    PRICE_IS_POSITIVE: "not above zero",
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
