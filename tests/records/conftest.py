from collections.abc import Callable

import pytest

from vigbench.records.schema import Metrics, Record
from vigbench.suites.case import Case


@pytest.fixture
def make_record() -> Callable[..., Record]:
    def make(resolution: int, **changes: object) -> Record:
        case = Case(subject="resnet50", resolution=resolution)
        fields = {
            "case_id": case.case_id,
            "case": case,
            "family": "cnn",
            "status": "ok",
            "started_at": "2026-01-01T00:00:00+00:00",
            "metrics": Metrics(latency_ms=resolution / 10, samples=10),
        }
        return Record.model_validate({**fields, **changes})

    return make
