"""The sidecar: answers forecasts over HTTP from the promoted model and the latest state.

It imports ``scalecast_assets.contract`` and nothing else of the pipeline, so it runs without
Dagster, torch, scikit-learn, xgboost, pandas or pyarrow. It never unpickles anything.
"""
