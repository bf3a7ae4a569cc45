from tests.runner.conftest import measure, subjects

__all__ = ["measure", "subjects"]
