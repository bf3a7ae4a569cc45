"""Settings of several ranks: with one rank they are none, so that its cases stay what they were."""

from typing import Any

import pytest

from vigbench.suites.axes import Exchange
from vigbench.suites.case import Case
from vigbench.suites.schema import DeviceSection

OPERATOR = {"subject": "gla", "length": 64, "heads": 1, "key_dim": 4, "value_dim": 8}


@pytest.mark.parametrize("settings", [{"ranks": 1}, {"exchange": "ring"}, {"ranks": 1, "share_gpu": True}])
def test_one_rank_is_the_case_that_there_was_before(settings: dict[str, Any]) -> None:
    assert Case(**OPERATOR, **settings) == Case(**OPERATOR)
    assert Case(**OPERATOR).case_id == "0a5d632f785d"


@pytest.mark.parametrize("exchange", [None, float("nan"), ""])
def test_several_ranks_gather_where_nothing_is_said(exchange: Any) -> None:
    case = Case(**OPERATOR, ranks=2, exchange=exchange)
    assert case.exchange is Exchange.all_gather
    assert case.label().endswith("2 ranks all-gather")
    assert Case.model_validate(case.model_dump(mode="json")) == case


def test_exchanges_and_shared_gpus_are_other_cases_of_other_series() -> None:
    cases = [Case(**OPERATOR, ranks=2, **more) for more in ({}, {"exchange": "ring"}, {"share_gpu": True})]
    cases += [Case(**OPERATOR), Case(**OPERATOR, ranks=4)]
    assert len({case.case_id for case in cases}) == len({case.series for case in cases}) == len(cases)


@pytest.mark.parametrize("mistake", [{"ranks": 0}, {"ranks": "two"}, {"exchange": "tree"}])
def test_what_is_no_setting_is_refused(mistake: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"is not a whole number|is not allowed"):
        DeviceSection(length=64, shape="1x4x8", budget=60, **mistake)
