"""A user's own subjects that are cut over ranks, each of which misbehaves in one way on its second rank."""

SOURCE = """
import os, signal, time
import torch
import torch.distributed as dist
from torch import nn
from vigbench.subjects.image import ImageTask
from vigbench.subjects.sharding import Sharding


class Rows(ImageTask):
    def sharding(self, model, case):
        return ByRows(model)


class ByRows(Sharding):
    def __init__(self, model):
        self.model = model

    def module(self, place):
        return Part(self.model, place)

    def inputs(self, whole, place):
        return {"image": place.part(whole["image"], 2).clone()}

    def expected(self, whole, place):
        return whole


class Sums(nn.Module):
    def __init__(self, act):
        super().__init__()
        self.act = act

    def forward(self, x):
        return x.double().sum((2, 3))


class Part(nn.Module):
    def __init__(self, model, place):
        super().__init__()
        self.act, self.place = model.act, place

    def forward(self, x):
        open(f"PID_FOLDER/{os.getpid()}", "w").close()
        total = x.double().sum((2, 3))
        if self.place.rank == 1:
            self.act(total)
        dist.all_reduce(total, group=self.place.group)
        return total


def raises(x):
    raise ZeroDivisionError("of rank 1")


def eats_memory(x):
    kept = [torch.ones(2**26) for _ in range(10**6)]


def dies_later():
    calls = []
    def act(x):
        calls.append(x)
        if len(calls) == 8:
            os.kill(os.getpid(), signal.SIGKILL)
    return act


def fine(): return Sums(lambda x: None)
def fails(): return Sums(raises)
def exits(): return Sums(lambda x: os._exit(7))
def leaves(): return Sums(lambda x: os._exit(0))
def is_killed(): return Sums(lambda x: os.kill(os.getpid(), signal.SIGKILL))
def is_killed_later(): return Sums(dies_later())
def runs_out(): return Sums(eats_memory)
def is_wrong(): return Sums(lambda x: x.add_(1))
def is_nan(): return Sums(lambda x: x.mul_(torch.nan))
def hangs(): return Sums(lambda x: time.sleep(3600))
def slow(): return Sums(lambda x: time.sleep(0.1))
def is_not_cut(): return nn.Flatten()


for one in (fine, fails, exits, leaves, is_killed, is_killed_later, runs_out, is_wrong, is_nan, hangs, slow):
    one.task = Rows()
"""
