"""Small files in the formats of the public data sets, as published; the numbers are made up."""

import zipfile
from datetime import datetime
from pathlib import Path

M5_CALENDAR = """\
date,wm_yr_wk,weekday,wday,month,year,d,event_name_1,event_type_1,event_name_2,event_type_2,\
snap_CA,snap_TX,snap_WI
2011-01-29,11101,Saturday,1,1,2011,d_1,,,,,0,0,0
2011-01-30,11101,Sunday,2,1,2011,d_2,,,,,0,0,0
2011-02-05,11102,Saturday,1,2,2011,d_3,,,,,1,1,0
2011-02-06,11102,Sunday,2,2,2011,d_4,SuperBowl,Sporting,,,1,1,1
2011-02-12,11103,Saturday,1,2,2011,d_5,,,,,0,0,0
"""
M5_SALES = """\
id,item_id,dept_id,cat_id,store_id,state_id,d_1,d_2,d_3,d_4
HOBBIES_1_001_CA_1_evaluation,HOBBIES_1_001,HOBBIES_1,HOBBIES,CA_1,CA,0,0,3,0
FOODS_3_090_TX_2_evaluation,FOODS_3_090,FOODS_3,FOODS,TX_2,TX,108,132,102,120
"""
M5_PRICES = """\
store_id,item_id,wm_yr_wk,sell_price
CA_1,HOBBIES_1_001,11102,9.58
TX_2,FOODS_3_090,11101,1.60
TX_2,FOODS_3_090,11102,1.25
"""
M5_ROWS = """\
date,store_id,product_id,quantity_sold,price,promotion
2011-02-05,CA_1,HOBBIES_1_001,3,9.58,false
2011-02-06,CA_1,HOBBIES_1_001,0,9.58,false
2011-01-29,TX_2,FOODS_3_090,108,1.6,false
2011-01-30,TX_2,FOODS_3_090,132,1.6,false
2011-02-05,TX_2,FOODS_3_090,102,1.25,true
2011-02-06,TX_2,FOODS_3_090,120,1.25,true
"""
ROSSMANN = """\
"Store","DayOfWeek","Date","Sales","Customers","Open","Promo","StateHoliday","SchoolHoliday"
1,5,2015-07-31,5263,555,1,1,"0","1"
2,5,2015-07-31,6064,625,1,0,"0","1"
1,7,2015-07-26,0,0,0,0,"0","0"
"""
ROSSMANN_ROWS = """\
date,store_id,product_id,quantity_sold,price,promotion
2015-07-31,1,ALL,5263,1.0,true
2015-07-31,2,ALL,6064,1.0,false
"""
FAVORITA = """\
id,date,store_nbr,item_nbr,unit_sales,onpromotion
0,2013-01-01,25,103665,7.0,
1,2013-01-01,25,105574,-1.0,
66458912,2016-05-02,1,103520,2.256,True
66458913,2016-05-02,1,103665,5.0,False
"""
FAVORITA_ROWS = """\
date,store_id,product_id,quantity_sold,price,promotion
2013-01-01,25,103665,7.0,1.0,false
2013-01-01,25,105574,0.0,1.0,false
2016-05-02,1,103520,2.256,1.0,true
2016-05-02,1,103665,5.0,1.0,false
"""
STORE_SALES = """\
id,date,store_nbr,family,sales,onpromotion
0,2013-01-01,1,AUTOMOTIVE,0.0,0
1,2013-01-01,1,"BREAD/BAKERY",13.5,4
"""
STORE_SALES_ROWS = """\
date,store_id,product_id,quantity_sold,price,promotion
2013-01-01,1,AUTOMOTIVE,0.0,1.0,false
2013-01-01,1,BREAD/BAKERY,13.5,1.0,true
"""
RETAIL_COLUMNS = (
    "InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID",
    "Country",
)  # fmt: skip
RETAIL = (
    (536365, "85123A", "HEART T-LIGHT", 6, datetime(2010, 12, 1, 8, 26), 2.55, 17850, "EIRE"),
    (536366, "85123a", "HEART T-LIGHT", 2, datetime(2010, 12, 1, 9, 1), 2.95, None, "EIRE"),
    (536365, 22752, "SET 7 BABUSHKA", 2, datetime(2010, 12, 2, 8, 26), 7.65, 17850, "France"),
    ("C536379", 22752, "SET 7 BABUSHKA", -1, datetime(2010, 12, 2, 9, 41), 7.65, 14527, "France"),
    (536370, "POST", "POSTAGE", 3, datetime(2010, 12, 1, 8, 45), 18.0, 12583, "France"),
    (536414, 22139, None, 56, datetime(2010, 12, 1, 11, 52), 0, None, "EIRE"),
    ("A563185", "B", "Adjust bad debt", 1, datetime(2011, 8, 12, 14, 50), 11062.06, None, "EIRE"),
)
RETAIL_ROWS = """\
date,store_id,product_id,quantity_sold,price,promotion
2010-12-01,EIRE,85123A,8,2.65,false
2010-12-02,France,22752,2,7.65,false
"""


def write_files(folder: Path, files: dict[str, str]) -> Path:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def zipped(folder: Path) -> Path:
    archive = folder.with_name(f"{folder.name}.zip")
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for path in sorted(folder.iterdir()):
            target.write(path, path.name)
    return archive


def write_m5(folder: Path) -> Path:
    files = {"sales_train_evaluation.csv": M5_SALES, "calendar.csv": M5_CALENDAR}
    return write_files(folder, {**files, "sell_prices.csv": M5_PRICES})


def write_workbook(folder: Path) -> Path:
    from openpyxl import Workbook

    folder.mkdir(parents=True)
    workbook = Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append(RETAIL_COLUMNS)
    for row in RETAIL:
        sheet.append(row)
    workbook.save(folder / "Online Retail.xlsx")
    return folder


def write_retail_csv(folder: Path) -> Path:
    lines = [",".join(RETAIL_COLUMNS)]
    for number, code, _, quantity, when, price, customer, country in RETAIL:
        day = f"{when.month}/{when.day}/{when.year} {when.hour}:{when.minute:02d}"
        fields = (number, code, '"GEL\xc9E, RED"', quantity, day, price, customer or "", country)
        lines.append(",".join(map(str, fields)))
    folder.mkdir(parents=True)
    (folder / "data.csv").write_bytes("\r\n".join(lines).encode("iso-8859-1"))
    return folder
