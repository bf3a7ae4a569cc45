"""What the documents promise is what the code does."""

import re
from pathlib import Path

from vigbench.analysis import capacity, curves, disturbance, scaling
from vigbench.analysis.claims.evidence import IMAGENET_IMAGES
from vigbench.measure import sampling
from vigbench.measure.adamw_rule import TERM_ROUNDINGS
from vigbench.measure.ceilings import COPY_BYTES, MOST_TRIAL_S, PRODUCT_SIDE
from vigbench.measure.closed_form import ALLOWED_DIFFERENCE
from vigbench.measure.contention import CONTENDED_DROP, CONTENDED_LOAD
from vigbench.measure.correctness import SMALLEST_GRADIENT_SCALE
from vigbench.measure.cuda_graph import WARMUP_CALLS
from vigbench.measure.device_time import FIRST_SPIN_S, MAX_EXPOSED_SHARE, MAX_SPIN_S
from vigbench.measure.energy import MIN_ENERGY_S
from vigbench.measure.latency import BETWEEN_S
from vigbench.measure.launch import FEWEST_CALLS, LAUNCH_BOUND_BELOW, MOST_CALLS
from vigbench.measure.operator_check import TF32_TOLERANCE
from vigbench.measure.profile import words
from vigbench.ops.gla.samples import GATE_SLACK
from vigbench.ops.registry import get_operator, list_operators
from vigbench.runner.claims import EFFORT
from vigbench.runner.duel import Effort
from vigbench.runner.max_batch import EXACT_UP_TO
from vigbench.stats import crossover, growth_law
from vigbench.stats.hierarchical import RESAMPLES, SEEN_FROM, UNSEEN_SPREAD
from vigbench.stats.verdict import DEFAULT_MARGIN, FAMILY_ERROR
from vigbench.subjects.task import Task
from vigbench.suites.axes import Device
from vigbench.suites.planner import MOST_SAMPLING_S
from vigbench.worker.check_call import VISIBLE_LEARNING_RATE
from vigbench.worker.contest import REFRESH_BELOW_S
from vigbench.worker.limits import MEMORY_SHARE
from vigbench.worker.measure_case import PARTS_SHARE
from vigbench.worker.observe import KERNEL_SHARE
from vigbench.worker.profile_case import SAMPLING_BUDGET_S, WARMUP_BUDGET_S
from vigbench.worker.training_step import BETAS, EPS, LEARNING_RATE, WEIGHT_DECAY

ROOT = Path(__file__).parents[1]
MEASUREMENT = " ".join((ROOT / "docs" / "measurement.md").read_text().split())


def test_the_protocol_s_parameters_stand_in_its_document() -> None:
    cpu, cuda, effort = sampling.CPU, sampling.CUDA, Effort()
    for sentence in (
        f"differ by less than {cpu.warmup_agreement:.0%}",
        f"Kendall's tau within {cpu.warmup_trend} of 0",
        f"at least {cpu.min_window} calls on a CPU and {cuda.min_window} on CUDA",
        f"At least {cpu.min_warmup} and at most {cpu.max_warmup} calls on a CPU",
        f"{cuda.min_warmup} to {cuda.max_warmup} on CUDA and there for at least {cuda.min_warmup_s} s",
        f"may take {cpu.warmup_share:.0%} of the case's time",
        f"within {cpu.half_width:.0%} of the median on a CPU ({cuda.half_width:.0%} on CUDA)",
        f"with at least {cpu.min_samples} ({cuda.min_samples}) samples that are worth at least {cpu.min_effective:.0f}",
        f"at most {MOST_SAMPLING_S:.0f} s, is spent",
        f"(at least {cpu.floor_samples} samples)",
        f"at most {MEMORY_SHARE:.0%} of the memory",
        f"dropped by more than {CONTENDED_DROP:.0%}",
        f"more than {CONTENDED_LOAD:.0%} of the cores at hand",
        "1e-3 (float32), 2e-2 (float16), 1e-1 (bfloat16)",
        "1e-3 (float32), 1e-1 (float16), 3e-1 (bfloat16)",
        f"below {SMALLEST_GRADIENT_SCALE:.0e} of the largest one".replace("e-0", "e-"),
        "at most {} px ({} px with gradients)".format(*get_operator("gla").largest_px),
        *("{} px ({} px)".format(*get_operator(one).largest_px) for one in ("scan", "biwkv")),
        f"differ by more than {ALLOWED_DIFFERENCE:.1%} the record is marked `flops_disputed`",
        "at most at {} tokens ({} with gradients), for attention at most at {}".format(
            *get_operator("gla").longest, get_operator("attention").longest.training
        ),
        "for GLA 2e-6 (float32), 2e-3 (float16), 1e-2 (bfloat16), for attention 1e-5, 4e-3, 3e-2",
        f"copies of {COPY_BYTES['cuda'] // 2**30} GiB (CPU: {COPY_BYTES['cpu'] // 2**20} MiB)",
        f"products of side {PRODUCT_SIDE['cuda']} (CPU: {PRODUCT_SIDE['cpu']})",
        f"{KERNEL_SHARE:.0%} of the case's sampling time",
        f"starts at {1e3 * FIRST_SPIN_S:.0f} ms",
        f"at most {1e3 * MAX_SPIN_S:.0f} ms; each sample",
        f"fails in more than {MAX_EXPOSED_SHARE:.0%}",
        f"in {FEWEST_CALLS} to {MOST_CALLS} calls, each from a flushed cache",
        f"over the latency of {FEWEST_CALLS} calls without the profiler",
        f"Below {LAUNCH_BOUND_BELOW} the record is marked `launch_bound`",
        f"after {WARMUP_CALLS} calls on a side stream",
        f"over at least {MIN_ENERGY_S:.0f} s of blocks",
        f"at most every {1e3 * BETWEEN_S:.0f} ms",
        f"Exact up to {EXACT_UP_TO}, within 1/{EXACT_UP_TO} beyond",
        f"({RESAMPLES:,} resamples)",
        f"Fewer than {SEEN_FROM} processes",
        f"deviation of {UNSEEN_SPREAD['cpu']:.0%} (CPU) or {UNSEEN_SPREAD['cuda']:.0%} (CUDA)",
        f"margin of {DEFAULT_MARGIN:.0%} unless",
        f"{FAMILY_ERROR:.0%} for any false alarm",
        f"about {1e3 * effort.block_s:.0f} ms",
        f"shorter than {REFRESH_BELOW_S} s), {effort.blocks} blocks each in random order",
        f"; {effort.processes} such pairs of processes",
        f"AdamW with learning rate {LEARNING_RATE}, betas {BETAS[0]} and {BETAS[1]}, epsilon {EPS}, weight decay "
        f"{WEIGHT_DECAY};",
        f"these are {TERM_ROUNDINGS} of the case's precision in each term",
        f"the learning rate is {VISIBLE_LEARNING_RATE:.0f}, so that",
        f"with {PARTS_SHARE:.0%} of the case's sampling time",
    ):
        assert sentence in MEASUREMENT, sentence
    assert Task.gradient_tolerance == {"float32": 1e-3, "float16": 1e-1, "bfloat16": 3e-1}
    for operator in list_operators():
        values = " | ".join(
            f"{operator.tolerance[precision]:.0e}" for precision in ("float32", "bfloat16", "float16", "float64")
        )
        assert f"| {operator.name} | {values} |" in MEASUREMENT, operator.name
    assert f"are allowed {GATE_SLACK} times that, and `fla` in float32 {TF32_TOLERANCE:.0e}" in MEASUREMENT
    assert Task.tolerance == {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


def test_the_parameters_of_laws_claims_and_profiles_stand_there_too() -> None:
    for sentence in (
        f"It takes {growth_law.LAW_FROM} sizes and a factor of {growth_law.LEAST_SPAN} between",
        f"chi-square has p < {growth_law.MISFIT_BELOW:.0%}",
        f"{growth_law.DRAWS} draws, fixed seed",
        f"px (lengths: times {scaling.LENGTH_STEP}), from {growth_law.PREDICTION_FROM} sizes on",
        ", ".join(map(str, scaling.RESOLUTIONS)),
        f"chi-square of all differences has p >= {crossover.LEVEL_FROM:.0%}",
        f"within {crossover.REACH:.0f} times the largest common N",
        f"at least {crossover.AGREED:.0%} of the draws",
        f"(resolution / {curves.PATCH_PX})^2 patches",
        f"Memory: {disturbance.MEMORY_SPREAD:.1%}. Never below {disturbance.LEAST_ERROR:.1%}",
        f"steps of {capacity.STEP_PX} px up to {capacity.LIMIT_PX:,} px",
        f"the {IMAGENET_IMAGES:,} images of ImageNet-1K's",
        f"({EFFORT[Device.cpu].processes} pairs of {EFFORT[Device.cpu].blocks} blocks)",
        f"warm-up of at most {WARMUP_BUDGET_S:.0f} s",
        f"(at most {SAMPLING_BUDGET_S:.0f} s, the same stopping rule)",
        f"would take over {MOST_TRIAL_S:.0f} s is left out",
        f"above {words.ABOVE} the sentence gives possible reasons. Calls under {1e6 * words.SHORT_CALL_S:.0f} us",
    ):
        assert sentence in MEASUREMENT, sentence
    assert (words.BOUNDED_FROM, words.FAR_BELOW) == (1 / 2, 1 / 4)
    assert "From half of a ceiling on" in MEASUREMENT
    assert "below a quarter of both" in MEASUREMENT


def test_every_link_between_documents_leads_somewhere() -> None:
    for page in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_file_of_the_package_that_a_document_names_exists() -> None:
    foreign = {"footguns.md"}  # names files of other repositories
    for page in [ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for path in re.findall(r"`((?:\w+/)+[\w*.-]+\.(?:py|toml|csv|md))`", page.read_text()):
            if page.name not in foreign and not path.startswith("my_pkg/"):
                known = (ROOT, ROOT / "vigbench", ROOT / "vigbench" / "ops" / "gla")
                assert any(any(folder.glob(path)) for folder in known), f"{page.name} names {path}"


def test_the_readme_has_the_command_that_ci_runs() -> None:
    text = (ROOT / "README.md").read_text()
    assert re.search(r"<!-- test-command -->\n```[a-z]*\n.*nox -s tests.*\n```", text)


def test_every_test_that_nox_names_exists() -> None:
    named = set(re.findall(r'"(tests/[\w/.]+)"', (ROOT / "noxfile.py").read_text()))
    assert len(named) > 10
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
