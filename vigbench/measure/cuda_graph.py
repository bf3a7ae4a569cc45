"""One iteration captured as a CUDA graph and replayed: the host launches once instead of once for each kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from vigbench.measure.memory import is_out_of_memory, without_collection

T = TypeVar("T")
WARMUP_CALLS = 3  # torch's recipe: libraries, autotuning and lazy loading must be done before capture


class NotCapturableError(ValueError):
    """The iteration cannot run as a CUDA graph; str() says why."""


def capture(call: Callable[[], T], device: torch.device) -> Callable[[], T]:
    """Capture `call` and return its replay, which returns the same tensors each time, with new contents.

    Training: `call` has to set gradients to None before its forward pass, as `zero_grad(set_to_none=True)` does. Then
    the captured backward pass writes gradients of its own, kept by the graph, and each replay overwrites them. With
    gradients that exist, capture would bake in an addition to them, and replays would add up.

    Args:
        call: one iteration on fixed inputs: the same addresses and shapes each time, no decision by the host on
            values of the device.
        device: where it runs.

    Raises:
        NotCapturableError: if `device` is no CUDA device, or something in `call` cannot be captured.
    """
    if device.type != "cuda":
        raise NotCapturableError(f"CUDA graphs need a CUDA device, and this case runs on {device.type}.")
    stream, caller = torch.cuda.Stream(device), torch.cuda.current_stream(device)
    _warm_up(call, stream, caller)
    graph = torch.cuda.CUDAGraph()
    failures: list[Exception] = []
    try:
        # On the stream of the warm-up, to which cuBLAS handles and gradient accumulators belong. Without collection:
        # freeing a Triton kernel unloads it, which no capture survives. A failing graph() may leave its stream current.
        with torch.cuda.stream(caller), without_collection(), torch.cuda.graph(graph, stream=stream):
            try:
                output = call()
            except Exception as error:
                failures.append(error)  # leaving a broken capture raises another error on top of this one
                raise
        graph.replay()
        torch.cuda.synchronize(device)
    except Exception as error:
        cause = failures[0] if failures else error
        if is_out_of_memory(cause):
            raise cause from None
        raise NotCapturableError(f"This iteration cannot be captured as a CUDA graph: {_first_line(cause)}") from error

    def replay() -> T:
        graph.replay()
        return output

    return replay


def _warm_up(call: Callable[[], object], stream: torch.cuda.Stream, caller: torch.cuda.Stream) -> None:
    stream.wait_stream(caller)
    with torch.cuda.stream(stream):
        for _ in range(WARMUP_CALLS):
            call()
    caller.wait_stream(stream)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
