"""The codes by which one model knows stores and products, and the file they are kept in.

Codes come from ``warehouse.id_codes`` and start at 1; what a model does not know is 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from scalecast_assets.contract.columns import UNKNOWN_CODE
from scalecast_assets.contract.layout import ENCODERS
from scalecast_assets.contract.panel import Ints, Panel
from scalecast_assets.contract.strict_json import Fields, check_format, dump_json, load_object

FORMAT: Final = 1
MAX_ENCODERS_BYTES: Final = 64 * 1024 * 1024


class SeriesCodes(NamedTuple):
    """The codes of each series' store and product, for one model."""

    store: Ints
    """``(S,)`` codes, 0 where the model does not know the store."""
    product: Ints
    """``(S,)`` codes, 0 where the model does not know the product."""


@dataclass(frozen=True)
class Encoders:
    """Ids to codes (≥ 1) as one model learned them; whatever it does not know is 0."""

    stores: Mapping[str, int]
    products: Mapping[str, int]

    def store_code(self, store_id: str) -> int:
        """Return the store's code."""
        return self.stores.get(store_id, UNKNOWN_CODE)

    def product_code(self, product_id: str) -> int:
        """Return the product's code."""
        return self.products.get(product_id, UNKNOWN_CODE)

    def codes(self, panel: Panel) -> SeriesCodes:
        """Return the codes of every series of the panel."""
        stores = np.array([self.store_code(store) for store in panel.stores], dtype=np.int64)
        products = np.array([self.product_code(item) for item in panel.products], dtype=np.int64)
        return SeriesCodes(stores[panel.series_store], products[panel.series_product])

    def to_bytes(self) -> bytes:
        """Serialise deterministically, and only if ``parse`` would accept the result."""
        document = {"format": FORMAT, "stores": dict(self.stores), "products": dict(self.products)}
        data = dump_json(document, ENCODERS)
        Encoders.parse(data)
        return data

    @classmethod
    def parse(cls, data: bytes) -> "Encoders":
        """Parse strictly; raises ``BundleError``."""
        fields = load_object(data, ENCODERS, MAX_ENCODERS_BYTES)
        check_format(fields, FORMAT)
        stores, products = (_codes(fields, name) for name in ("stores", "products"))
        fields.done()
        return cls(stores, products)


def _codes(fields: Fields, name: str) -> dict[str, int]:
    codes = fields.mapping(name, int)
    if any(code < 1 for code in codes.values()) or len(set(codes.values())) != len(codes):
        raise fields.wrong(name, codes, "different codes from 1 on")
    return codes
