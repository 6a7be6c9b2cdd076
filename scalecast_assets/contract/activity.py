"""Which series are still sold: what a forecast of everything is about."""

import numpy as np

from scalecast_assets.contract.columns import ACTIVE_DAYS
from scalecast_assets.contract.panel import Bools, ObservedPanel, Panel


def active_series(panel: Panel) -> Bools:
    """Tell, ``(S,)``, which series had a row within 56 days up to the last day of their store.

    The others are no longer sold: nothing will be compared with a forecast of them.
    """
    if isinstance(panel, ObservedPanel):
        until = panel.until[panel.series_store].astype(np.int64)
        return np.asarray(panel.row_day[:, -1] >= until - ACTIVE_DAYS)
    return ~np.isnan(panel.price[:, -1])  # while it is active, each open day has a row
