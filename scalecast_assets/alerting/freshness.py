"""Dagster's own freshness of an asset, for people who look at the graph.

It counts materializations, also those that found no new file, and tells nobody. The alert on a
stale feed therefore asks the ledger (``files.stale_feed``).
"""

from datetime import timedelta

import dagster as dg


def expect_fresh(asset: dg.AssetsDefinition, hours: float) -> dg.AssetsDefinition:
    """The same asset with a policy that fails after so many hours; 0: as it is."""
    if not hours:
        return asset
    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=hours))
    (fresh,) = dg.map_asset_specs(
        lambda spec: spec.replace_attributes(freshness_policy=policy), [asset]
    )
    return fresh
