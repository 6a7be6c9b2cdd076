"""ScaleCast: from raw sales files to a served demand forecast, as a Dagster asset graph.

This package imports nothing on purpose: the sidecar imports ``scalecast_assets.contract`` and must
not pull Dagster, dbt or a training library into its process.
"""
