"""What the fork server has done, no worker does again."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")
ROOT = Path(__file__).parents[2]
LOOK_UP = """
import os, sys
import vigbench.worker.preload as preload
preload.prepare_triton()  # as where there is a GPU's driver
if os.fork() == 0:
    before = set(sys.modules)
    from tests.ops.calls import gated_norm_call
    from tests.ops.gla.compiling import compiled
    compiled(90, gated_norm_call("bfloat16", 64))  # compiles for a GPU that need not be there, or finds it on the disk
    own = [name for name in set(sys.modules) - before if name.startswith("vigbench.ops")]
    print(sorted(own), preload.triton_key().cache_info().misses, flush=True)
    os._exit(0)
assert os.wait()[1] == 0
"""


@pytest.mark.slow
def test_a_worker_s_first_kernel_imports_no_operator_and_hashes_triton_no_more(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TRITON_CACHE_DIR": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", LOOK_UP], capture_output=True, text=True, env=environment, cwd=ROOT, check=True
    )
    assert result.stdout.strip() == "[] 1"
