import gc
import mmap
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vigbench.measure.memory import (
    MIB,
    cpu_allocator_peak,
    is_out_of_memory,
    measure_memory,
    process_peak,
    process_peak_source,
)


class Allocates(nn.Module):
    """Holds `weights` MiB; its forward pass peaks at `peak` MiB and returns next to nothing."""

    def __init__(self, weights: int, peak: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(weights * MIB // 4))
        self.peak = peak

    def forward(self, x: Tensor) -> Tensor:
        first = torch.full((self.peak * MIB // 8,), 1.0)
        second = torch.full((self.peak * MIB // 8,), 2.0)
        small = first[:1] + second[:1]
        del first, second
        return small + torch.full((MIB // 4,), 3.0)[:1]


@pytest.mark.parametrize("size", [64, 300])
def test_a_known_allocation_is_found_within_5_percent(size: int) -> None:
    model, inputs = Allocates(weights=16, peak=size), torch.ones(2 * MIB // 4)
    memory = measure_memory(lambda: model(inputs), model, inputs)
    assert memory.weights == 16 * MIB
    assert memory.inputs == 2 * MIB
    assert memory.activations == pytest.approx(size * MIB, rel=0.05)
    assert memory.peak == memory.weights + memory.inputs + memory.activations
    if "not available" not in process_peak_source():
        assert memory.process_growth == pytest.approx(size * MIB, rel=0.05)
        assert memory.process_peak is not None
        assert memory.process_growth is not None
        assert memory.process_peak > memory.process_growth


def test_an_earlier_larger_case_in_the_same_process_does_not_leak_into_the_next() -> None:
    inputs = torch.ones(1)
    for size in (256, 32):
        model = Allocates(weights=1, peak=size)
        memory = measure_memory(lambda model=model: model(inputs), model, inputs)  # type: ignore[misc]
        assert memory.activations == pytest.approx(size * MIB, rel=0.05)
        if memory.process_growth is not None:
            assert memory.process_growth == pytest.approx(size * MIB, rel=0.15)


def test_pages_of_files_are_not_growth(tmp_path: Path) -> None:
    """A busy machine drops mapped library pages and maps them again while a call runs."""
    library = tmp_path / "library"
    library.write_bytes(b"\1" * 32 * MIB)
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:

        def call() -> int:
            held = torch.full((64 * MIB // 4,), 1.0)
            return sum(pages[::4096]) + int(held[0])

        peak, growth = process_peak(call)
    if peak is not None:
        assert growth == pytest.approx(64 * MIB, rel=0.05)


def test_garbage_of_earlier_stages_does_not_hide_a_growth() -> None:
    class Cycle:
        def __init__(self) -> None:
            self.me, self.ballast = self, torch.full((64 * MIB // 4,), 1.0)

    def call() -> Tensor:
        gc.collect(0)  # stands for a collection that happens to fall into the iteration
        return torch.full((64 * MIB // 4,), 1.0)[:1]

    Cycle()
    memory = measure_memory(call, nn.Identity(), torch.ones(1))
    if memory.process_growth is not None:
        assert memory.process_growth == pytest.approx(64 * MIB, rel=0.05)
    assert gc.isenabled()


def test_every_measured_iteration_begins_without_gradients_and_counts_its_own() -> None:
    model, inputs = nn.Linear(1024, 1024, bias=False), torch.randn(4, 1024)
    began_without: list[bool] = []

    def train() -> None:
        began_without.append(model.weight.grad is None)
        model(inputs).square().mean().backward()

    train()
    memory = measure_memory(train, model, inputs)
    assert len(began_without) > 1
    assert all(began_without)
    assert memory.activations == pytest.approx(4 * MIB, rel=0.05)


def test_a_cpu_has_no_caching_allocator() -> None:
    model, inputs = nn.Identity(), torch.ones(8)
    memory = measure_memory(lambda: model(inputs), model, inputs)
    assert (memory.reserved, memory.slack) == (None, None)


def test_buffers_allocated_inside_an_operator_count() -> None:
    query = torch.ones(1, 1, 512, 64)
    rows = cpu_allocator_peak(lambda: torch.softmax(query @ query.mT, -1).sum())
    assert rows >= 2 * 512 * 512 * 4


def test_shared_weights_count_once() -> None:
    model = nn.Sequential(nn.Linear(256, 256, bias=False), nn.Linear(256, 256, bias=False))
    model[1].weight = model[0].weight
    inputs = torch.ones(1, 256)
    assert measure_memory(lambda: model(inputs), model, inputs).weights == 256 * 256 * 4


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), True),
        (torch.AcceleratorError("CUDA error: out of memory"), True),
        (RuntimeError("Triton Error [CUDA]: out of memory"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_whoever_fails_to_allocate_is_recognised(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) is expected
