"""What the documents promise is what the code does."""

import re
from pathlib import Path

from vigbench.measure import sampling
from vigbench.measure.contention import CONTENDED_DROP, CONTENDED_LOAD
from vigbench.measure.correctness import TOLERANCE
from vigbench.runner.worker import MEMORY_SHARE
from vigbench.suites.planner import MOST_SAMPLING_S

ROOT = Path(__file__).parents[1]
MEASUREMENT = " ".join((ROOT / "docs" / "measurement.md").read_text().split())


def test_the_protocol_s_parameters_stand_in_its_document() -> None:
    cpu, cuda = sampling.CPU, sampling.CUDA
    for sentence in (
        f"differ by less than {cpu.warmup_agreement:.0%}",
        f"at least {cpu.min_warmup} calls on a CPU (windows of {cpu.warmup_window}, at most {cpu.max_warmup} calls)",
        f"at least {cuda.min_warmup} on CUDA (windows of {cuda.warmup_window}, at most {cuda.max_warmup})",
        f"It may take {cpu.warmup_share:.0%} of the case's time",
        f"within {cpu.half_width:.0%} of the median on a CPU ({cuda.half_width:.0%} on CUDA)",
        f"with at least {cpu.min_samples} ({cuda.min_samples}) samples",
        f"at most {MOST_SAMPLING_S:.0f} s, is spent",
        f"(at least {cpu.floor_samples} samples)",
        f"at most {MEMORY_SHARE:.0%} of the memory",
        f"dropped by more than {CONTENDED_DROP:.0%}",
        f"more than {CONTENDED_LOAD:.0%} of the machine",
        "1e-3 (float32), 2e-2 (float16), 1e-1 (bfloat16)",
    ):
        assert sentence in MEASUREMENT, sentence
    assert TOLERANCE == {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_has_the_command_that_ci_runs() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.search(r"<!-- test-command -->\n```[a-z]*\n.*nox -s tests.*\n```", text)
