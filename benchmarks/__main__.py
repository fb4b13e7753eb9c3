"""Time the methods of the course against the peer libraries: `make bench`.

Both run in one process, one thread, in turn; the figure is the median of the ratios of paired runs, so that a change of
the machine's speed hits both. That both give the same answer is asserted beside each time.
"""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from course_utils import gradient_methods, models, visualization, zoo

N_IMAGES, N_PAIRS, LAYER = 8, 9, 9


@dataclass(frozen=True)
class Pair:
    """One method, ours and the peer's, and the passes that it cannot do without: forward and backward, or forward."""

    name: str
    ours: Callable[[], Tensor]
    peer: Callable[[], Tensor]
    n_passes: int
    backward: bool = True


def pairs() -> list[Pair]:
    """The methods that both compute, on the network ``zoo`` and eight of its images."""
    from captum import attr

    model = models.load("zoo")
    drawn = zoo.sample(N_IMAGES, seed=models.TEST_SEED)
    inputs, target = drawn.images, drawn.labels
    layer = model[LAYER]

    def captum(method: type, **options) -> Callable[[], Tensor]:
        return lambda: method.attribute(inputs.clone().requires_grad_(), target=target, **options).detach()

    def ours(method: Callable[..., Tensor], *arguments, **options) -> Callable[[], Tensor]:
        return lambda: method(model, inputs, target, *arguments, **options)

    return [
        Pair("gradient", ours(gradient_methods.gradient), captum(attr.Saliency(model), abs=False), 1),
        Pair("input x gradient", ours(gradient_methods.input_x_gradient), captum(attr.InputXGradient(model)), 1),
        Pair("deconvnet", ours(gradient_methods.deconvnet), captum(attr.Deconvolution(model)), 1),
        Pair("guided backprop", ours(gradient_methods.guided_backprop), captum(attr.GuidedBackprop(model)), 1),
        Pair(
            "Grad-CAM",
            ours(gradient_methods.grad_cam, layer),
            captum(attr.LayerGradCam(model, layer), relu_attributions=True),
            1,
        ),
        Pair(
            "integrated gradients, 50 steps",
            ours(gradient_methods.integrated_gradients, n_steps=50),
            captum(attr.IntegratedGradients(model), n_steps=50, internal_batch_size=N_IMAGES),
            50,
        ),
        Pair(
            "occlusion, 8x8 windows by 8",
            ours(visualization.occlusion, window=8, stride=8),
            captum(attr.Occlusion(model), sliding_window_shapes=(3, 8, 8), strides=(3, 8, 8), perturbations_per_eval=8),
            65,  # 8 x 8 windows, and the image itself
            backward=False,
        ),
    ]


def bound(backward: bool) -> Callable[[], Tensor]:
    """One forward and one backward pass to the inputs, or the forward pass alone, and nothing else."""
    model = models.load("zoo").requires_grad_(False)
    drawn = zoo.sample(N_IMAGES, seed=models.TEST_SEED)

    @torch.inference_mode()
    def run_forward() -> Tensor:
        return model(drawn.images)

    def run() -> Tensor:
        inputs = drawn.images.clone().requires_grad_()
        scores = model(inputs).gather(1, drawn.labels[:, None])
        return torch.autograd.grad(scores.sum(), inputs)[0]

    return run if backward else run_forward


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="Setting (forward, )?backward hooks")
    drawing = statistics.median(seconds(partial(zoo.sample, 500, seed=k)) for k in range(5))
    print(f"drawing the zoo: {500 / drawing:.0f} images a second")
    one_pass = {backward: bound(backward) for backward in (True, False)}
    print(f"torch {torch.__version__}, one thread, zoo at 64 x 64, {N_IMAGES} images; medians of {N_PAIRS} paired runs")
    print(f"{'method':32} {'ours [ms]':>10} {'captum / ours':>14} {'ours / bound':>13}")
    for pair in pairs():
        torch.testing.assert_close(pair.ours(), pair.peer(), rtol=1e-3, atol=1e-4)
        least = one_pass[pair.backward]
        times = [(seconds(pair.ours), seconds(pair.peer), seconds(least) * pair.n_passes) for _ in range(N_PAIRS)]
        ours = statistics.median(own for own, _, _ in times) * 1000
        against_peer = statistics.median(peer / own for own, peer, _ in times)
        against_bound = statistics.median(own / least for own, _, least in times)
        print(f"{pair.name:32} {ours:10.1f} {against_peer:14.2f} {against_bound:13.2f}")


if __name__ == "__main__":
    main()
