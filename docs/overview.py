"""Draw the picture at the top of README.md: python docs/overview.py"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from course_utils import gradient_methods, models, plotting, zoo


def main() -> None:
    model = models.load("zoo-gap")
    drawn = [zoo.sample(8, seed=2, classes=[name]) for name in ("cup", "zebra", "ring", "star")]
    images = torch.stack([sample.images[0] for sample in drawn])
    labels = torch.stack([sample.labels[0] for sample in drawn])
    masks = torch.stack([sample.mask("object")[0] for sample in drawn])
    methods = {
        "gradient": gradient_methods.gradient,
        "SmoothGrad": partial(gradient_methods.smoothgrad, generator=torch.Generator().manual_seed(0)),
        "integrated gradients": partial(gradient_methods.integrated_gradients, baselines=0.5),
        "guided backprop": gradient_methods.guided_backprop,
        "Grad-CAM": partial(gradient_methods.grad_cam, layer="12"),
    }
    maps = {name: explain(model, images, labels) for name, explain in methods.items()}
    picture = plotting.method_grid(
        images,
        maps,
        titles=[zoo.CLASSES[label] for label in labels],
        masks=masks,
        heading="Why does the network see a cup, a zebra, a ring, a star? The outline is the truth.",
        quantile=0.995,
    )
    (Path(__file__).parent / "overview.png").write_bytes(picture.png())


if __name__ == "__main__":
    main()
