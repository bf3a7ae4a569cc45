from collections.abc import Iterator

import pytest

from vigbench.measure.operator_check import poisoned_memory


@pytest.fixture
def poisoned_outputs() -> Iterator[None]:
    """Memory that a kernel leaves unwritten is NaN."""
    with poisoned_memory():
        yield
