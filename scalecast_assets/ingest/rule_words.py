"""The rules in the words of somebody who keeps a shop, and what the six columns should hold.

For the page on a refused file (``refusal_page.py``). What a rule is, and the SQL behind it, is in
``rules.py``.
"""

from dataclasses import dataclass
from typing import Final

from scalecast_assets.contract.columns import MAX_ID_BYTES, MAX_PRICE, MAX_QUANTITY
from scalecast_assets.ingest import lines, rules


@dataclass(frozen=True)
class Words:
    """What is wrong, and what to do about it."""

    fault: str
    remedy: str


WORDS: Final[dict[str, Words]] = {
    lines.COLUMNS_ARE_COMPLETE: Words(
        "The first line does not name the columns",
        "The first line has to name each of the six columns once, spelled as in the list below."
        " If your till or office program uses other names, whoever runs ScaleCast can have them"
        " translated (the setting SCALECAST_COLUMNS) and load the file with --again.",
    ),
    lines.LINES_ARE_WELL_FORMED: Words(
        "Lines that cannot be taken apart into columns",
        "Export the file once more as CSV in UTF-8. Each line needs as many fields as the first"
        " one; a text that contains the separator or a quotation mark has to stand in quotation"
        " marks, which are closed again on the same line.",
    ),
    lines.FILE_HAS_ROWS: Words(
        "The file has no sales in it",
        "Look whether the export ran for the right days, and whether it ran to its end.",
    ),
    lines.DATE_IS_A_DAY: Words(
        "Dates that cannot be read",
        "Write each date as year-month-day with ten characters, like 2024-03-15, without a time."
        " A spreadsheet may show dates in another way than it saves them: format the column as"
        " text or as yyyy-mm-dd before saving.",
    ),
    rules.DATE_IS_PLAUSIBLE: Words(
        "Dates too early or in the future",
        f"Sales are expected from {rules.EARLIEST_DAY} to today. Check the year, and the clock of"
        " the till.",
    ),
    lines.STORE_ID_IS_PRESENT: Words(
        "Lines without a usable store number",
        "Fill in the store_id, as it was written in earlier files (0012 is not the same as 12)."
        f" It may have up to {MAX_ID_BYTES} characters.",
    ),
    lines.PRODUCT_ID_IS_PRESENT: Words(
        "Lines without a usable product number",
        "Fill in the product_id, as it was written in earlier files. Totals and empty lines at the"
        f" end of a report are no sales: remove them. It may have up to {MAX_ID_BYTES} characters.",
    ),
    lines.QUANTITY_IS_A_NUMBER: Words(
        "Quantities that are not numbers",
        "Write plain digits with a point for decimals, like 12 or 12.5: no unit, no thousands"
        " separator, no decimal comma, no words such as N/A. Leave a line out if nothing is known"
        " about that day; write 0 if nothing was sold.",
    ),
    rules.QUANTITY_IS_NOT_NEGATIVE: Words(
        "Quantities below zero or impossibly large",
        f"A quantity is between 0 and {MAX_QUANTITY:,.0f}. Returns are often booked as negative"
        " sales: subtract them from the day's sales, or leave them out.",
    ),
    lines.PRICE_IS_A_NUMBER: Words(
        "Prices that are not numbers",
        "Write plain digits with a point for decimals, like 9.99: no currency sign, no decimal"
        " comma, no thousands separator. The price may not be left empty.",
    ),
    rules.PRICE_IS_POSITIVE: Words(
        "Prices of zero, below zero or impossibly large",
        f"A price is above 0 and at most {MAX_PRICE:,.0f}. Give the price that was on the shelf"
        " that day; for a free gift, its usual price.",
    ),
    lines.PROMOTION_IS_TRUE_OR_FALSE: Words(
        "Promotions that are neither yes nor no",
        "Write true or false (yes/no, t/f and 1/0 are understood as well).",
    ),
    rules.KEY_IS_UNIQUE: Words(
        "The same store, product and day more than once",
        "There is one line per store, product and day. Add the quantities of the repeated lines"
        " up in one line, or remove the copy.",
    ),
}
"""Of each rule that refuses a file."""

COLUMNS: Final[tuple[tuple[str, str, str], ...]] = (
    ("date", "year-month-day", "2024-03-15"),
    ("store_id", "the store's number or name, always spelled alike", "STORE_001"),
    ("product_id", "the product's number or name, always spelled alike", "PROD_A"),
    ("quantity_sold", "units sold that day: digits, 0 or more", "12"),
    ("price", "price per unit: digits with a point, above 0", "29.99"),
    ("promotion", "was it on offer? true or false", "true"),
)
"""Name, what is expected, an example."""
