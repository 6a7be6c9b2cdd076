"""Every moment at which a test disturbs a run is in this code: what is renamed shows at once."""

import importlib
import pkgutil

import tests.faults
from tests.faults.run_process import MOMENTS, owner_of


def test_every_moment_is_at_a_function_that_is_there() -> None:
    for module in pkgutil.iter_modules(tests.faults.__path__, "tests.faults."):
        if not module.name.endswith("conftest"):
            importlib.import_module(module.name)
    assert len(MOMENTS) > 40
    for moment in MOMENTS:
        owner, attribute = owner_of(moment.function)
        assert callable(getattr(owner, attribute)), moment
