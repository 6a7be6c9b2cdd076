"""What training and serving agree on: columns, features, bundle, state, store.

Pure: no Dagster, dbt, FastAPI, pandas or environment here. The sidecar imports this package and
nothing else of ``scalecast_assets``.
"""
