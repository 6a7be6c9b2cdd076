"""Publishing bundles and serving states, promoting and rolling back; pure, no Dagster.

What a bundle is lives in ``scalecast_assets.contract``; who decides what to promote lives in
``scalecast_assets.forecasting`` and ``scalecast_assets.assets``.
"""
