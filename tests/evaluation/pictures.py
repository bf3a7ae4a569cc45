"""Small folders of images, small models, and an evaluation of one with the other."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import nn

from vigbench.evaluation.folder import EvaluationFolder
from vigbench.evaluation.prepare import Evaluation, EvaluationSettings, prepare_evaluation
from vigbench.evaluation.progress import EvaluationProgress
from vigbench.evaluation.run import compute_missing
from vigbench.interrupt import StopRequest
from vigbench.records.accuracy import AccuracyRow
from vigbench.worker.describe import describe_here

MODEL = "test_vit"  # timm's smallest with position embeddings; 160 px
CLASSES = ("ant", "bee", "cat", "dog", "emu", "fox")
MODULE = """
import os
import signal
import time

from torch import nn

def make_rigid():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 6))

def make_features():
    return nn.Conv2d(3, 6, 3)

def make_net(channels=3):
    return nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 6))

def make_grey():
    return make_net(1)

def make_bands():
    return make_net(4)

class Noisy(nn.Sequential):
    def forward(self, images):
        print("forward pass")
        return super().forward(images)

def make_noisy():
    print("made")
    return Noisy(*make_net())

class Leaving(Noisy):
    def forward(self, images):
        raise SystemExit(3)

def make_leaving():
    return Leaving(*make_net())

class Hanging(Noisy):
    def forward(self, images):
        if len(images) == 3:
            print("waiting for something")
            time.sleep(600)
        return super().forward(images)

def make_hanging():
    return Hanging(*make_net())

class Dying(Noisy):
    def forward(self, images):
        if len(images) == 3:
            print("good bye", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().forward(images)

def make_dying():
    return Dying(*make_net())

class Failing(Noisy):
    def forward(self, images):
        if images.abs().sum() > 0:
            raise KeyError("no such thing")
        return super().forward(images)

def make_failing():
    return Failing(*make_net())

def make_half():  # logits of 1e6 are infinite in half precision
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 6))
    nn.init.constant_(net[2].bias, 1e6)
    return net
"""


def prepare(chosen: EvaluationSettings, checkpoint: Path, data: Path, class_map: Path | None = None) -> Evaluation:
    return prepare_evaluation(
        chosen, checkpoint, data, class_map, describe=describe_here, progress=EvaluationProgress()
    )


def compute(evaluation: Evaluation, folder: EvaluationFolder, batch_size: int = 4) -> Sequence[AccuracyRow] | None:
    return compute_missing(
        evaluation, folder, EvaluationProgress(), StopRequest(), batch_size=batch_size, workers=0, command_line=["test"]
    )


def write_image(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((60, 44), Image.Resampling.BICUBIC).save(path)
    return path


def save_model(path: Path, name: str = MODEL, classes: int = len(CLASSES), seed: int = 0) -> Path:
    torch.manual_seed(seed)
    model = timm.create_model(name, num_classes=classes)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    torch.save(model.state_dict(), path)
    return path


def from_timm(path: Path, resolution: int) -> Any:
    """timm's own way to weights for another size: checkpoint_path alone would not resize position embeddings."""
    overlay = {"file": str(path), "num_classes": len(CLASSES)}
    return timm.create_model(
        MODEL, pretrained=True, pretrained_cfg_overlay=overlay, img_size=resolution, num_classes=len(CLASSES)
    )


def settings(subject: str = MODEL, *resolutions: int, **others: Any) -> EvaluationSettings:
    return EvaluationSettings(subject, resolutions or (160,), threads=1, **others)
