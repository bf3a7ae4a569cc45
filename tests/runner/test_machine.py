import json

from vigbench.measure.environment import device_name
from vigbench.runner.executor import run_in_worker
from vigbench.runner.machine import describe_machine
from vigbench.runner.messages import Job, Task
from vigbench.suites.case import Case, Device

CASE = Case(subject="resnet18", resolution=32, threads=1)


def test_a_worker_describes_the_machine_as_this_process_does() -> None:
    outcome = run_in_worker(Job(case=CASE, task=Task.describe), timeout_s=60, on_stage=lambda stage: None)
    name, environment = json.loads(outcome.description)
    assert name == device_name("cpu", 1)
    here_name, here = describe_machine(CASE)
    assert name == here_name
    volatile = {"cpu", "memory_gib"}  # load and free memory
    assert {k: v for k, v in environment.items() if k not in volatile} == {
        k: v for k, v in here.items() if k not in volatile
    }


def test_a_cuda_device_that_cannot_be_asked_is_said() -> None:
    import pytest
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ValueError, match="cannot be described"):
        describe_machine(CASE.model_copy(update={"device": Device.cuda}))
