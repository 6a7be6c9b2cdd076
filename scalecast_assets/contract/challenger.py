"""The challenger: a second version beside the champion, and which series are its own.

In mode ``split`` it answers for a share of the series, in mode ``shadow`` the champion answers and
the challenger is only asked, too. Who is asked about a series depends on nothing but its ids, the
challenger's version and the share: the same in every process, and a larger share only adds series.
"""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from scalecast_assets.contract.panel import Bools, Panel
from scalecast_assets.contract.strict_json import BundleError, Fields

Mode = Literal["split", "shadow"]
SPLIT: Final = "split"
SHADOW: Final = "shadow"
MODES: Final = (SPLIT, SHADOW)

_BITS: Final = 52
"""As many as a float holds without rounding: no position is ever 1."""


@dataclass(frozen=True)
class Challenger:
    """Which version challenges, how, and for which ``share`` of the series, up to 1.

    A ``split`` share is below 1: with all series it would be the champion.
    """

    version: str
    manifest_sha256: str
    share: float
    mode: Mode

    @classmethod
    def parse(cls, fields: Fields) -> "Challenger":
        """Take the entry apart; raises ``BundleError``."""
        mode: Mode = "split" if fields.one_of("mode", MODES) == SPLIT else "shadow"
        challenger = cls(
            version=fields.version("version"),
            manifest_sha256=fields.sha256("manifest_sha256"),
            share=float(fields.number("share", 0.0, 1.0)),
            mode=mode,
        )
        fields.done()
        if challenger.share == 0:
            raise fields.wrong("share", 0, "more than 0; without a share there is no challenger")
        if mode == SPLIT and challenger.share == 1:
            raise fields.wrong(
                "share", 1, "less than 1 in mode 'split'; for all series, promote it"
            )
        return challenger

    def takes(self, store_id: str, product_id: str) -> bool:
        """Tell whether the series is in the share."""
        return position(self.version, store_id, product_id) < self.share

    def series_of(self, panel: Panel) -> Bools:
        """Return, ``(S,)``, which series of the panel are in the share."""
        pairs = zip(panel.series_store.tolist(), panel.series_product.tolist(), strict=True)
        taken = (self.takes(panel.stores[s], panel.products[p]) for s, p in pairs)
        return np.fromiter(taken, np.bool_, panel.n_series)

    def in_words(self) -> str:
        """Say what it does, as ``answers for 10 % of the series``."""
        share = f"{self.share:.4%}".rstrip("0%").rstrip(".") + " %"
        what = "answers for" if self.mode == SPLIT else "is asked in the shadow for"
        return f"{what} {share} of the series"


def position(version: str, store_id: str, product_id: str) -> float:
    """Where in [0, 1) the series stands for this version: uniform, and the same everywhere."""
    text = "\0".join((version, store_id, product_id)).encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return (int.from_bytes(digest) >> 64 - _BITS) / float(1 << _BITS)


def check_beside(challenger: Challenger, champion: str) -> None:
    """Raise ``BundleError`` if it is the champion itself."""
    if challenger.version == champion:
        raise BundleError(f"version {champion} is the champion, it cannot challenge itself")
