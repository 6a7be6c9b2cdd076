"""A CloudFormation template as data."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Reads ``!Ref x`` as ``{"Ref": "x"}`` and ``!Sub x`` as ``{"Fn::Sub": "x"}``."""


def _tagged(loader: _Loader, suffix: str, node: Any) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt":
        value = value.split(".", 1)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tagged)


def template(path: Path) -> dict[str, Any]:
    """The template, with its short tags written out."""
    found = yaml.load(path.read_text(), Loader=_Loader)
    assert isinstance(found, dict)
    return found
