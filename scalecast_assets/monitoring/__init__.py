"""What was promised and what came of it: the coming days' forecasts, their errors, drift.

Plain Python and SQL in schema ``ml``, on what is served and what dbt has built; no Dagster here.
The assets and checks that call it are in ``assets/monitoring.py``, the formulas in ``forecasting``.
"""
