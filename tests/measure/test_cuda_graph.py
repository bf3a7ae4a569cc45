import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from vigbench.measure.cuda_graph import WARMUP_CALLS, NotCapturableError, capture

CUDA = torch.device("cuda", 0)


class FakeCuda:
    """The parts of torch.cuda that capturing uses. Leaving a capture in which something failed raises once more."""

    def __init__(self) -> None:
        self.current = "caller's"
        self.capturing = False
        self.replays = 0
        self.end_fails = False

    def install(self, patch: pytest.MonkeyPatch) -> None:
        for name in ("stream", "graph", "CUDAGraph", "synchronize", "Stream", "current_stream"):
            patch.setattr(torch.cuda, name, getattr(self, name), raising=False)

    def CUDAGraph(self) -> Any:  # noqa: N802  torch's name
        def replay() -> None:
            self.replays += 1

        return SimpleNamespace(replay=replay)

    def Stream(self, device: torch.device) -> Any:  # noqa: N802  torch's name
        return SimpleNamespace(name="side", wait_stream=lambda other: None)

    def current_stream(self, device: torch.device) -> Any:
        return SimpleNamespace(name="caller's", wait_stream=lambda other: None)

    def synchronize(self, device: torch.device) -> None:
        assert not self.capturing

    @contextmanager
    def stream(self, stream: Any) -> Iterator[None]:
        before, self.current = self.current, stream.name
        try:
            yield
        finally:
            self.current = before

    @contextmanager
    def graph(self, graph: Any, stream: Any) -> Iterator[None]:
        self.current, self.capturing = stream.name, True  # as torch 2.9 to 2.14: not put back when the end fails
        try:
            yield
        except Exception:
            self.end_fails = True
        self.capturing = False
        if self.end_fails:
            raise RuntimeError("operation failed due to a previous error during capture")


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    fake = FakeCuda()
    fake.install(monkeypatch)
    return fake


def test_a_cpu_has_no_graphs_and_the_call_does_not_run() -> None:
    def never() -> None:
        raise AssertionError("the call ran")

    with pytest.raises(NotCapturableError, match="CUDA graphs need a CUDA device, and this case runs on cpu"):
        capture(never, torch.device("cpu"))


def test_it_is_a_value_error_as_every_wrong_setting_is() -> None:
    assert issubclass(NotCapturableError, ValueError)


def test_warm_up_and_capture_share_a_stream_of_their_own(cuda: FakeCuda) -> None:
    seen: list[tuple[str, bool, bool]] = []

    def call() -> str:
        seen.append((cuda.current, cuda.capturing, gc.isenabled()))
        return "output"

    replay = capture(call, CUDA)
    assert seen == [("side", False, True)] * WARMUP_CALLS + [("side", True, False)]
    assert gc.isenabled()
    before = cuda.replays
    assert replay() == replay() == "output"
    assert cuda.replays == before + 2
    assert len(seen) == WARMUP_CALLS + 1  # a replay does not run Python


def failing_in_capture(cuda: FakeCuda, error: Exception) -> Callable[[], None]:
    def call() -> None:
        if cuda.capturing:
            raise error

    return call


def test_the_reason_is_the_first_error_and_not_that_of_leaving_the_capture(cuda: FakeCuda) -> None:
    error = RuntimeError("operation not permitted when stream is capturing\nand more lines")
    with pytest.raises(NotCapturableError) as caught:
        capture(failing_in_capture(cuda, error), CUDA)
    assert str(caught.value) == (
        "This iteration cannot be captured as a CUDA graph: operation not permitted when stream is capturing"
    )
    assert cuda.current == "caller's"
    assert gc.isenabled()


def test_an_error_that_only_shows_at_the_end_is_the_reason_too(cuda: FakeCuda) -> None:
    cuda.end_fails = True
    with pytest.raises(NotCapturableError, match="due to a previous error during capture"):
        capture(lambda: None, CUDA)
    assert cuda.current == "caller's"


def test_running_out_of_memory_stays_what_it_is(cuda: FakeCuda) -> None:
    with pytest.raises(torch.OutOfMemoryError, match="full"):
        capture(failing_in_capture(cuda, torch.OutOfMemoryError("full")), CUDA)


def test_a_call_that_fails_by_itself_is_not_blamed_on_the_capture(cuda: FakeCuda) -> None:
    def call() -> None:
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        capture(call, CUDA)
