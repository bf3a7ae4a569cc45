"""How often a duel is right on this machine: 40 A/A duels, and 20 with a slow-down of 10% planted in a copy.

Half an hour; run it with `nox -s bench -- tests/benchmarks/test_duel_counts.py -s`.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from vigbench.runner.duel import Contestant, Effort, run_duel
from vigbench.runner.duel_result import DuelResult
from vigbench.stats.verdict import DEFAULT_MARGIN
from vigbench.suites.case import Case

# Ten equal layers, and a copy with an eleventh: a tenth more of the same work.
MODULE = """
import torch
from torch import nn

class Stack(nn.Module):
    def __init__(self, layers):
        super().__init__()
        self.stem = nn.Conv2d(3, 64, 4, stride=4)
        self.layers = nn.Sequential(*[nn.Conv2d(64, 64, 3, padding=1) for _ in range(layers)])

    def forward(self, x):
        for _ in range(4):
            y = self.layers(self.stem(x))
        return y.mean((2, 3))

def original(): return Stack(10)
def slower(): return Stack(11)
"""
THREADS = int(os.environ.get("VIGBENCH_THREADS", "2"))
COUNTS = {"original": int(os.environ.get("VIGBENCH_AA", "40")), "slower": int(os.environ.get("VIGBENCH_PLANTED", "20"))}


@pytest.mark.timeout(7200)
@pytest.mark.parametrize(
    ("head", "right", "least"), [("original", {"SAME", "INCONCLUSIVE"}, 0.95), ("slower", {"SLOWER"}, 0.9)]
)
def test_verdicts(head: str, right: set[str], least: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "stacks.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    base, other = (
        Contestant(Case(subject=f"stacks:{name}", resolution=128, threads=THREADS)) for name in ("original", head)
    )
    found: Counter[str] = Counter()
    for seed in range(COUNTS[head]):
        result = DuelResult.of(list(run_duel(base, other, Effort(seed=seed))), "cpu", DEFAULT_MARGIN)
        found[result.verdict] += 1
        print(f"{head} {seed}: {result.ratio:.3f} ({result.low:.3f} to {result.high:.3f}) {result.verdict}", flush=True)
    print(f"{head}: {dict(found)}", flush=True)
    assert sum(found[one] for one in right) >= least * COUNTS[head]
