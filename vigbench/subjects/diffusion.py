"""The task of a diffusion model: latents of images, their timesteps and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import torch
from torch import Tensor

from vigbench.models.diffusion.process import STEPS, DiffusionProcess, guided
from vigbench.models.diffusion.transformer import LATENT_CHANNELS, LATENT_STRIDE
from vigbench.subjects.image import ImageTask
from vigbench.subjects.task import DTYPES, MEMORY_FORMATS, SEED, Inputs, Task
from vigbench.suites.arguments import CHANNELS, args_of
from vigbench.suites.axes import SAMPLING_STEPS, Phase
from vigbench.suites.case import Case
from vigbench.suites.resolution import sides_of

CLASSES = 1000  # labels are drawn from them; this one stands for none
GUIDANCE = 4.0  # of DiT's sampling script


@dataclass(frozen=True)
class DiffusionTask(ImageTask):
    """Noisy latents x (batch, 4, height / 8, width / 8), timesteps t and labels y (batch,) of a resolution in px.

    Training has what the loss compares with, too: clean latents and noise. Sampling starts from noise and draws more
    for each of its steps. An item is a latent, of which an image is decoded elsewhere.

    Attributes:
        patch_size: side of the model's patches, in latents.
    """

    patch_size: int = 2

    name = "diffusion"
    unit = "latent"
    # of norms: rounding is half of that in bfloat16, a wrong operator more
    tolerance: ClassVar[Mapping[str, float]] = {**Task.tolerance, "bfloat16": 6e-2}
    output_measure = "norm"  # a head's RMSNorm keeps of a scan's first token a sign, which rounding can turn
    phases = (*Task.phases, Phase.sampling)

    def require(self, case: Case) -> None:
        super().require(case)
        assert case.resolution is not None
        args = args_of(case.args)
        if args.get("num_classes", CLASSES) != CLASSES:
            raise ValueError(f"{case.model} is fed labels of {CLASSES} classes: leave num_classes out of its args.")
        patch = args.get("patch_size", self.patch_size)
        if not isinstance(patch, int) or patch < 1:
            raise ValueError(
                f"{case.model}: patch_size {str(patch)!r} is not a whole number above 0; write for example 2."
            )
        pixels = LATENT_STRIDE * patch
        if any(side % pixels for side in sides_of(case.resolution, self.dimensions)):
            raise ValueError(
                f"{case.subject} takes latents, an eighth of an image's sides, in patches that are {pixels} px of the "
                f"image: {case.resolution} px cannot be cut into them. Choose multiples of {pixels}, such as 256."
            )

    def make_inputs(self, case: Case) -> Inputs:
        """Standard normal latents and noise; timesteps and labels each as likely; all with a fixed seed."""
        assert case.resolution is not None
        device = case.device.value
        generator = torch.Generator(device).manual_seed(SEED)
        height, width = (side // LATENT_STRIDE for side in sides_of(case.resolution, self.dimensions))
        size = (args_of(case.args).get(CHANNELS, LATENT_CHANNELS), height, width)

        def normal(*more: int) -> Tensor:
            return torch.randn((case.batch_size, *more, *size), generator=generator, device=device)

        def below(most: int) -> Tensor:
            return torch.randint(most, (case.batch_size,), generator=generator, device=device)

        clean, noise, t, y = normal(), normal(), below(STEPS), below(CLASSES)
        sampling = case.phase is Phase.sampling
        noisy = noise if sampling else training_process().noisy(clean, noise, t)
        x = noisy.to(dtype=DTYPES[case.precision], memory_format=MEMORY_FORMATS[case.memory_format])
        if sampling:
            return {"x": x, "t": t, "y": y, "noise": normal(SAMPLING_STEPS)}
        targets = {"clean": clean, "noise": noise, "noisy": noisy} if case.phase.trains else {}
        return {"x": x, "t": t, "y": y, **targets}

    def arguments(self, inputs: Inputs) -> tuple[tuple[Any, ...], dict[str, Any]]:
        return (inputs["x"], inputs["t"], inputs["y"]), {}

    def iterate(self, model: Callable[..., Any], inputs: Inputs, case: Case) -> Any:
        """Of sampling all steps, as released: without clipping, with guidance from twice the batch."""
        if case.phase is not Phase.sampling:
            return super().iterate(model, inputs, case)
        y, dtype = inputs["y"], inputs["x"].dtype
        no_label = torch.full_like(y, CLASSES)

        def denoise(x: Tensor, t: Tensor) -> Tensor:
            return guided(model, x.to(dtype), t, y, no_label, GUIDANCE)

        return {"latent": sampling_process().sample(denoise, inputs["x"].float(), inputs["noise"])}

    def outputs(self, returned: Any) -> Mapping[str, Tensor]:
        """Both halves of what a model says by name: each is compared on its own scale."""
        if not isinstance(returned, Tensor):
            return super().outputs(returned)
        noise, variance = returned.chunk(2, 1)
        return {"noise": noise, "variance": variance}

    def loss(self, returned: Any, inputs: Inputs) -> Tensor:
        """Mean square of the noise's error and the variational term, as released, in float32 or wider."""
        wide = torch.promote_types(returned.dtype, torch.float32)
        clean, noise, noisy = (inputs[name].to(wide) for name in ("clean", "noise", "noisy"))
        return training_process().loss(returned.to(wide), clean, noise, noisy, inputs["t"])

    def leaves(self, inputs: Inputs) -> Inputs:
        """Of the inputs the model is trained through x alone."""
        return {**inputs, "x": inputs["x"].detach().requires_grad_()}


@cache
def training_process() -> DiffusionProcess:
    """Of 1000 steps."""
    return DiffusionProcess.linear()


@cache
def sampling_process() -> DiffusionProcess:
    """The steps of the phase sampling."""
    return training_process().respaced(SAMPLING_STEPS)
