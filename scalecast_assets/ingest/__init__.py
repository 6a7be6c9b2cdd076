"""From a raw file to the warehouse: the parser, and the SQL of landing, ledger and publishing.

No Dagster and no Great Expectations here: ``assets/ingestion.py`` and ``checks/expectations.py``
call what is written here and report it.
"""
