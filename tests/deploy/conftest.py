"""What the tests of deploy/aws share."""

from collections.abc import Iterator

import pytest

from tests.deploy.aws import Aws, simulated


@pytest.fixture(scope="session")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aws]:
    """An AWS of its own, since whether policies count is one switch for all of it."""
    with simulated(tmp_path_factory.mktemp("aws")) as made:
        yield made
