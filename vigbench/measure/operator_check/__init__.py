"""Whether implementations of operators compute what is defined: outputs and all gradients against float64."""

from vigbench.measure.operator_check.judge import Finding, check_implementation
from vigbench.measure.operator_check.operators import CHECKS, OperatorCheck

__all__ = ["CHECKS", "Finding", "OperatorCheck", "check_implementation"]
