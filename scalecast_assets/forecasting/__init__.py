"""Pure forecasting: training rows, splits, candidate models, metrics and reports.

No Dagster, dbt, web or store client and no environment variable is touched in this room. The heavy
libraries (scikit-learn, xgboost, torch) are imported inside the functions that use them.
"""
