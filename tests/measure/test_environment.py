import getpass
import json
import platform

from vigbench.measure.environment import available_memory, describe_environment, device_name
from vigbench.measure.settings import default_threads


def test_environment_is_plain_data_and_names_no_host_or_user() -> None:
    text = json.dumps(describe_environment("cpu", 0))
    assert platform.node() not in text
    assert getpass.getuser() not in text.replace("root", "") or getpass.getuser() == "root"
    assert json.loads(text)["torch"]


def test_device_name_says_how_many_threads() -> None:
    assert device_name("cpu", 1).endswith("(1 thread)")
    assert f"{default_threads()} thread" in device_name("cpu")


def test_some_memory_is_available() -> None:
    assert available_memory() > 2**26
