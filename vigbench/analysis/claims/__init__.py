"""Published claims as data, one file for each paper, and whether what was measured supports them."""

from vigbench.analysis.claims.judged import Judged, Verdict
from vigbench.analysis.claims.judging import judge_claims
from vigbench.analysis.claims.schema import Claim, choose_claims, load_claims

__all__ = ["Claim", "Judged", "Verdict", "choose_claims", "judge_claims", "load_claims"]
