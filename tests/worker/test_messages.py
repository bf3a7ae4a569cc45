"""A job is in words that builds of before memory_format and errands know."""

import json
from typing import Any

import pytest

from vigbench.suites.case import Case
from vigbench.worker.messages import Errand, Job

MODEL = {"subject": "resnet18", "resolution": 64}


@pytest.mark.parametrize(
    ("case", "written"),
    [
        (MODEL, MODEL),
        ({**MODEL, "memory_format": "channels_last"}, {**MODEL, "channels_last": True}),
        ({**MODEL, "memory_format": "contiguous", "threads": 2}, {**MODEL, "threads": 2}),
    ],
)
def test_an_older_build_knows_every_key(case: dict[str, Any], written: dict[str, Any]) -> None:
    job = Job(case=Case(**case), errand=Errand.contest, budget_s=2.0)
    assert json.loads(job.to_json()) == {"case": written, "task": "contest", "budget_s": 2.0}
    assert Job.model_validate_json(job.to_json()) == job
