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
from vigbench.evaluation.prepare import Evaluation, EvaluationSettings
from vigbench.evaluation.run import EvaluationProgress, compute_missing
from vigbench.interrupt import StopRequest
from vigbench.records.accuracy import AccuracyRow

MODEL = "test_vit"  # timm's smallest with position embeddings; 160 px
CLASSES = ("ant", "bee", "cat", "dog", "emu", "fox")
MODULE = """
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
