"""Workers keep what they free unless the user says otherwise, and a record tells what the allocator was told."""

import os
import platform
from subprocess import run
from sys import executable

import pytest

from vigbench.measure.allocation import allocation_here, keeping_memory

FETCHES = """
from resource import RUSAGE_SELF, getrusage
import torch

def call():
    tensors = [torch.empty(7 * 2**20).fill_(1) for _ in range(4)]

for _ in range(8):
    call()
before = getrusage(RUSAGE_SELF).ru_minflt
call()
print(getrusage(RUSAGE_SELF).ru_minflt - before)
"""
OF_ONE_CALL = 4 * 7 * 2**22 // 4096  # pages
glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has another allocator")


@glibc
def test_a_call_fetches_no_pages_anew() -> None:
    def pages(environment: dict[str, str]) -> int:
        done = run(
            [executable, "-c", FETCHES], env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    assert pages(keeping_memory({})) < OF_ONE_CALL / 100
    # by itself glibc does either, by what lies above on the heap; told to return all, it shows that pages are counted
    assert pages({"MALLOC_MMAP_THRESHOLD_": "131072"}) > OF_ONE_CALL / 2


@glibc
@pytest.mark.parametrize("said", [{"MALLOC_TRIM_THRESHOLD_": "7"}, {"GLIBC_TUNABLES": "glibc.malloc.mmap_threshold=7"}])
def test_what_the_user_has_set_holds(said: dict[str, str]) -> None:
    assert keeping_memory(said) == {}
    assert allocation_here(said) == " ".join(f"{name}={value}" for name, value in said.items())


@glibc
def test_what_concerns_no_kept_memory_changes_nothing() -> None:
    others = {"MALLOC_TRIM_THRESHOLD_": "", "GLIBC_TUNABLES": "glibc.pthread.rseq=0", "HOME": "x"}
    assert keeping_memory(others) == keeping_memory({}) != {}
    assert allocation_here(others) == ""


def test_another_allocator_is_named_without_its_folder() -> None:
    preloaded = {"LD_PRELOAD": "/home/me/libjemalloc.so.2 /x/libother.so", "MALLOC_CONF": "narenas:1"}
    assert allocation_here(preloaded) == "LD_PRELOAD=libjemalloc.so.2:libother.so MALLOC_CONF=narenas:1"
