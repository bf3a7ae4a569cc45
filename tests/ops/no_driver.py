"""A driver of Triton's for a GPU that is not there: kernels are compiled for it, and their starts are noted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest.mock import patch

from triton.runtime import driver

from tests.ops.gla.compiling import SHARED_LIMIT, NoGpu
from vigbench.ops import launch_plan


class Start(NamedTuple):
    """What the launcher of a compiled kernel is given, but for what Triton keeps for itself.

    `values` has addresses for pointers, tuples taken apart, and nothing for what is compiled in.
    """

    kernel: str
    grid: tuple[int, int, int]
    stream: int
    binary: Any
    values: list[Any]


class NoDriver(NoGpu):
    """As much of a driver as compiling and starting need; every start is told to `on_start` while there is one."""

    def __init__(self, capability: int) -> None:
        super().__init__(capability)
        shared = SHARED_LIMIT[capability]
        self.on_start: Callable[[Start], None] | None = None
        self.stream = 0
        self.utils = SimpleNamespace(
            load_binary=lambda *_: (object(), object(), 0, 0, 1024),
            unload_module=lambda _: None,
            get_device_properties=lambda _: {"max_shared_mem": shared},
        )

    def get_current_stream(self, device: int | None = None) -> int:
        return self.stream

    def launcher_cls(self, source: Any, metadata: Any) -> Callable[..., None]:
        """Of one compiled kernel, in Triton's form."""
        signature = tuple(source.signature.values())

        def start(x: int, y: int, z: int, stream: int, function: Any, *rest: Any) -> None:
            if self.on_start is None:
                return
            _, _, enter, leave, *args = rest
            caches = source.fn.device_caches[self.get_current_device()]
            (binary,) = (one for one in caches[0].values() if one.function is function)
            for hook in (enter, leave):
                if callable(hook):
                    hook(None)
            values = list(_runtime_values(args, signature))
            self.on_start(Start(source.fn.fn.__name__, (x, y, z), stream, binary, values))

        return start


DRIVER = NoDriver(90)


@contextmanager
def without_gpu(on_start: Callable[[Start], None] | None = None, plans: bool = True) -> Iterator[None]:
    """Inside, kernels start with CPU tensors on a GPU of capability 9.0 that does nothing; with or without plans."""
    driver.set_active(DRIVER)
    DRIVER.on_start = on_start
    with patch.object(launch_plan, "DEVICES", ("cpu",) if plans else ()):
        yield
    DRIVER.on_start = None


def _runtime_values(args: Any, kinds: Any) -> Iterator[Any]:
    for value, kind in zip(args, kinds, strict=True):
        if isinstance(kind, tuple):
            yield from _runtime_values(tuple(value), kind)
        elif kind != "constexpr":
            yield value.data_ptr() if hasattr(value, "data_ptr") else value
