"""Measuring on a real CUDA device: pytest -m gpu."""

import json
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

import vigbench
from vigbench.measure.cuda_graph import NotCapturableError, capture
from vigbench.measure.device_state import StateRecorder
from vigbench.measure.device_time import CudaQueue, KernelTime, measure_kernel_time
from vigbench.measure.energy import find_meter, measure_energy
from vigbench.measure.environment import describe_environment
from vigbench.measure.latency import block_of, measure_timing, timed
from vigbench.measure.launch import LAUNCH_BOUND_BELOW, profile_device
from vigbench.measure.memory import MIB, measure_memory
from vigbench.measure.sampling import CUDA, warm_up
from vigbench.measure.saved_tensors import saved_for_backward
from vigbench.records.kernel_time import KernelTimeSource
from vigbench.worker.columns import device_time

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]
DEVICE = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _free_memory() -> Iterator[None]:
    yield
    torch.cuda.synchronize()
    torch.cuda.empty_cache()


def matmul(side: int, dtype: torch.dtype = torch.bfloat16) -> Callable[[], Tensor]:
    left = torch.randn(side, side, device=DEVICE, dtype=dtype)
    return lambda: left @ left


def tiny_kernels(count: int) -> Callable[[], None]:
    x = torch.ones(32, device=DEVICE)

    def call() -> None:
        for _ in range(count):
            x.add_(1)

    return call


def kernel_time(call: Callable[[], object], **options: Any) -> KernelTime:
    warm_up(timed(call, torch.cuda.synchronize), CUDA, 1.0)
    found = measure_kernel_time(call, DEVICE, CUDA, 5.0, **options)
    assert found is not None
    return found


def latency_s(call: Callable[[], object]) -> float:
    warm_up(timed(call, torch.cuda.synchronize), CUDA, 1.0)
    timing = measure_timing(call, torch.cuda.synchronize, queued=True, criterion=CUDA, budget_s=1.0)
    return median(timing.latency.durations_s)


# kernel time


@pytest.mark.alone
def test_a_known_spin_takes_as_long_as_plain_events_say() -> None:
    def spin() -> None:
        torch.cuda._sleep(10_000_000)

    found = kernel_time(spin)
    plain = []
    for _ in range(20):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        spin()
        end.record()
        end.synchronize()
        plain.append(begin.elapsed_time(end) / 1e3)
    assert found.launch_hidden
    assert median(found.samples.durations_s) == pytest.approx(median(plain), rel=0.05)


@pytest.mark.alone
def test_gaps_between_launches_do_not_count() -> None:
    call = tiny_kernels(300)
    found = kernel_time(call)
    assert found.launch_hidden
    assert median(found.samples.durations_s) < 0.8 * latency_s(call)


@pytest.mark.alone
def test_the_cache_is_cold() -> None:
    class Warm(CudaQueue):
        def flush(self) -> None:
            pass

    x = torch.randn(16 * MIB // 4, device=DEVICE)
    cold, warm = kernel_time(x.sum), kernel_time(x.sum, queue=Warm(DEVICE))
    assert median(cold.samples.durations_s) > 1.05 * median(warm.samples.durations_s)


@pytest.mark.alone
def test_a_call_that_waits_for_the_device_is_said_to_be_exposed() -> None:
    x = torch.ones(32, device=DEVICE)
    assert not kernel_time(lambda: x.sum().item()).launch_hidden


@pytest.mark.alone
def test_a_step_whose_launches_show_has_its_kernel_time_from_the_profile() -> None:
    """It asks for its loss in between: events hold the gaps while the host launches on, the sum of kernels does not."""
    model = vigbench.create_model("vig_tiny_patch16_224", implementation="torch_chunk").to(DEVICE).train()
    inputs = torch.randn(1, 3, 224, 224, device=DEVICE)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        loss = model(inputs).float().square().mean()
        assert loss.item() > 0
        loss.backward()

    events = kernel_time(train)
    work = profile_device(train, DEVICE)
    assert work is not None
    assert not events.launch_hidden
    source, durations_s = device_time(events, work)
    assert source is KernelTimeSource.profile
    assert 0 < median(durations_s) < median(events.samples.durations_s)
    assert 0 < work.busy_s < work.latency_s


@pytest.mark.alone
def test_the_profile_s_calls_start_from_a_flushed_cache() -> None:
    x = torch.randn(16 * MIB // 4, device=DEVICE)
    x.sum()
    work = profile_device(x.sum, DEVICE)
    assert work is not None
    assert work.cold
    assert median(work.kernel_s) > 1.05 * work.busy_s


def test_a_full_device_leaves_the_kernel_time_out() -> None:
    call = tiny_kernels(1)
    call()
    total = torch.cuda.mem_get_info(DEVICE)[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(DEVICE) + 2 * MIB) / total)
    try:
        assert measure_kernel_time(call, DEVICE, CUDA, 1.0) is None
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)


# CUDA graphs


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_replay_gives_the_same_bits(dtype: torch.dtype) -> None:
    model = timm.create_model("deit_tiny_patch16_224").to(DEVICE, dtype).eval()
    inputs = torch.randn(2, 3, 224, 224, device=DEVICE, dtype=dtype)

    def infer() -> Tensor:
        with torch.inference_mode():
            output: Tensor = model(inputs)
            return output

    expected = infer().clone()
    replay = capture(infer, DEVICE)
    assert torch.equal(replay(), expected)
    inputs.copy_(torch.randn_like(inputs))
    other = replay().clone()
    assert not torch.equal(other, expected)
    assert torch.equal(other, infer())


def test_replays_of_a_training_step_do_not_add_gradients_up() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)).to(DEVICE)
    inputs = torch.randn(8, 64, device=DEVICE)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).square().mean().backward()

    train()
    expected = [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]
    replay = capture(train, DEVICE)
    for _ in range(3):
        replay()
    found = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert len(found) == len(expected) == 4
    for gradient, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(gradient, wanted)


def test_a_whole_training_step_can_be_captured_and_reads_new_inputs() -> None:
    model = timm.create_model("deit_tiny_patch16_224").to(DEVICE).train()
    inputs = torch.randn(2, 3, 224, 224, device=DEVICE)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).float().square().mean().backward()

    replay = capture(train, DEVICE)
    inputs.copy_(torch.randn_like(inputs))
    replay()
    replayed = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    train()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(replayed[name], parameter.grad, rtol=1e-3, atol=1e-5)


def test_what_asks_the_device_for_a_value_cannot_be_captured_and_the_process_goes_on() -> None:
    x = torch.ones(4, device=DEVICE)
    with pytest.raises(NotCapturableError, match=r"cannot be captured as a CUDA graph: .+"):
        capture(lambda: x * x.sum().item(), DEVICE)
    assert torch.cuda.current_stream(DEVICE) == torch.cuda.default_stream(DEVICE)
    assert (x + 1).sum().item() == 8
    assert capture(lambda: x + 1, DEVICE)().sum().item() == 8


def test_running_out_of_memory_during_capture_is_not_called_uncapturable() -> None:
    calls: list[None] = []

    def call() -> Tensor:
        calls.append(None)
        return torch.empty(2**50 if torch.cuda.is_current_stream_capturing() else 1, device=DEVICE)

    with pytest.raises(torch.OutOfMemoryError):
        capture(call, DEVICE)
    assert len(calls) > 1


@pytest.mark.alone
def test_a_replay_of_many_small_kernels_is_faster_than_launching_them() -> None:
    call = tiny_kernels(300)
    replay = capture(call, DEVICE)
    assert latency_s(replay) < 0.7 * latency_s(call)


# launch-bound or not


@pytest.mark.alone
def test_many_tiny_kernels_are_launch_bound() -> None:
    call = tiny_kernels(300)
    call()
    work = profile_device(call, DEVICE)
    assert work is not None
    assert 0 < work.busy_share < LAUNCH_BOUND_BELOW


@pytest.mark.alone
def test_one_large_matmul_keeps_the_device_busy() -> None:
    call = matmul(8192)
    for _ in range(3):
        call()
    work = profile_device(call, DEVICE)
    assert work is not None
    assert work.busy_share > 0.9


@pytest.mark.alone
def test_the_profile_agrees_with_events() -> None:
    """Both from a cold cache; each after a pause of the device, since a product lowers the clock of a hot one."""
    call = matmul(4096)
    events = kernel_time(call)
    work = profile_device(call, DEVICE)
    assert events.launch_hidden
    assert work is not None
    assert median(work.kernel_s) == pytest.approx(median(events.samples.durations_s), rel=0.15)


# memory


def test_the_slack_is_what_the_allocator_held_and_did_not_use() -> None:
    x = torch.ones(MIB, device=DEVICE)
    memory = measure_memory(lambda: x * 2 + x * 3, nn.Identity(), x)
    assert memory.slack is not None
    assert memory.reserved is not None
    assert 0 <= memory.slack < memory.reserved


def test_gradients_of_a_training_step_are_activations_although_an_earlier_step_left_some() -> None:
    model, inputs = nn.Linear(4096, 4096, bias=False, device=DEVICE), torch.randn(4, 4096, device=DEVICE)

    def train() -> None:
        model.zero_grad(set_to_none=True)
        model(inputs).square().mean().backward()

    train()
    assert measure_memory(train, model, inputs).activations >= 64 * MIB


def test_a_cuda_graph_of_autograd_saves_what_the_cpu_saves() -> None:
    model, inputs = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 16)), torch.randn(4, 16)
    on_cpu = saved_for_backward(lambda: model(inputs), model, inputs)
    model, there = model.to(DEVICE), inputs.to(DEVICE)
    assert saved_for_backward(lambda: model(there), model, there) >= on_cpu > 0  # CUDA rounds allocations up


# energy and state


@pytest.mark.alone
def test_energy_moves_forward_under_load_and_is_plausible() -> None:
    meter = find_meter(DEVICE)
    if not meter.available:
        pytest.skip(meter.source)
    call = matmul(8192)
    call()
    block_s: list[float] = []
    timed_block = timed(block_of(call, 50), torch.cuda.synchronize)

    def block() -> float:
        block_s.append(timed_block())
        return block_s[-1]

    energy = measure_energy(meter, block, images=50)
    assert energy.j_per_img is not None
    power_w = energy.j_per_img * 50 * len(block_s) / sum(block_s)
    assert 50 < power_w < 1500


@pytest.mark.alone
def test_the_state_is_read_under_load() -> None:
    recorder = StateRecorder(DEVICE)
    recorder.read()
    if not recorder.available:
        pytest.skip(recorder.reason)
    call = matmul(8192)
    measure_timing(call, torch.cuda.synchronize, queued=True, criterion=CUDA, budget_s=2.0, on_block=recorder.read)
    state, series = recorder.summary(), recorder.series()
    if state.sm_clock_mhz is not None:
        assert 100 < state.sm_clock_mhz < 5000
        assert len(series["sm_clock_mhz"]) > 5
    if state.temperature_c is not None:
        assert 10 < state.temperature_c < 110
    if state.power_w is not None:
        assert 10 < state.power_w < 1500
    others = recorder.other_processes()
    assert others is None or others >= 0


def test_the_environment_describes_the_gpu() -> None:
    environment = json.loads(json.dumps(describe_environment("cuda", 0)))
    assert environment["gpu"]["l2_cache_mib"] > 1
    assert "driver" in environment["gpu"] or "nvml" in environment["gpu"]
    assert environment["energy_source"].startswith(("NVML", "not available: "))
