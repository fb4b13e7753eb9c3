"""Answers to the exercises of unit 02 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

# ---------------------------------------------------------------------------------------------------------------------
# Matrices
# ---------------------------------------------------------------------------------------------------------------------


def jacobian(weight: Tensor, input_size: tuple[int, int], padding: int = 0) -> Tensor:
    """The matrix of a linear function is its derivative."""
    image = torch.zeros(weight.shape[1], *input_size, dtype=weight.dtype)
    matrix = torch.autograd.functional.jacobian(
        lambda x: functional.conv2d(x[None], weight, padding=padding).flatten(), image
    )
    return matrix.flatten(1)


def unit_images(weight: Tensor, input_size: tuple[int, int], padding: int = 0) -> Tensor:
    """Column i is the convolution of the image that is 1 at pixel i and 0 elsewhere."""
    n_inputs = weight.shape[1] * input_size[0] * input_size[1]
    images = torch.eye(n_inputs, dtype=weight.dtype).view(n_inputs, weight.shape[1], *input_size)
    return functional.conv2d(images, weight, padding=padding).flatten(1).t()


def cut_from_the_padded_matrix(weight: Tensor, input_size: tuple[int, int], padding: int = 0) -> Tensor:
    """The matrix for the padded image, without the columns of the padding, kernel by kernel."""
    n_kernels, channels, rows, columns = weight.shape
    height, width = input_size[0] + 2 * padding, input_size[1] + 2 * padding
    lines = []
    for o in range(n_kernels):
        for u in range(height - rows + 1):
            for v in range(width - columns + 1):
                sheet = torch.zeros(channels, height, width, dtype=weight.dtype)
                sheet[:, u : u + rows, v : v + columns] = weight[o]
                lines.append(sheet[:, padding : height - padding, padding : width - padding].flatten())
    return torch.stack(lines)


def conv_of_kept(weight: Tensor, keep: Tensor, padding: int = 0) -> Tensor:
    return unit_images(weight, keep.shape[1:], padding) @ torch.diag(keep.flatten()).to(weight.dtype)


def conv_dropout_by_jacobian(weight: Tensor, keep: Tensor, padding: int = 0) -> Tensor:
    def layer(x: Tensor) -> Tensor:
        return functional.conv2d((x * keep)[None], weight, padding=padding).flatten()

    return torch.autograd.functional.jacobian(layer, torch.ones(keep.shape, dtype=weight.dtype)).flatten(1)


def dense_by_setting_zeros(weight: Tensor, keep: Tensor) -> Tensor:
    matrix = weight.clone()
    matrix[:, ~keep] = 0
    return matrix


def without_gradient_by_autograd(keep: Tensor, kernel_size: tuple[int, int], padding: int = 0) -> Tensor:
    weight = torch.zeros(1, len(keep), *kernel_size, requires_grad=True)
    functional.conv2d(keep[None].float(), weight, padding=padding).sum().backward()
    return weight.grad[0] == 0


def without_gradient_by_windows(keep: Tensor, kernel_size: tuple[int, int], padding: int = 0) -> Tensor:
    windows = functional.unfold(keep[None].float(), kernel_size, padding=padding)[0]
    return windows.sum(1).view(len(keep), *kernel_size) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Noise
# ---------------------------------------------------------------------------------------------------------------------


def by_bernoulli(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    kept = torch.bernoulli(torch.full(inputs.shape, 1 - p), generator=generator)
    return inputs * kept.to(inputs.dtype) / (1 - p)


def by_masked_fill(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    dropped = torch.rand(inputs.shape, generator=generator) < p
    return inputs.masked_fill(dropped, 0) / (1 - p)


def by_torchs_own(torchs: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """torch's own dropout, with the global random state set from the generator for as long as it takes."""

    def dropout(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
        with torch.random.fork_rng():
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            return torchs(inputs, p)

    return dropout


def maps_in_a_loop(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Image by image: the maps that are kept, and zeros."""
    result = torch.zeros_like(inputs)
    for n, image in enumerate(inputs):
        kept = torch.rand(len(image), generator=generator) >= p
        result[n, kept] = image[kept] / (1 - p)
    return result


# ---------------------------------------------------------------------------------------------------------------------
# Monte Carlo dropout
# ---------------------------------------------------------------------------------------------------------------------

DROPOUTS = nn.Dropout | nn.Dropout2d


def switched_on(
    kinds: Any = DROPOUTS,
    correction: int = 0,
    back: Callable[[nn.Module], Any] = nn.Module.eval,
    seed_in_the_loop: bool = False,
) -> Callable[..., tuple[Tensor, Tensor]]:
    """The dropout layers in train mode, one pass a sample, torch's random state set from the generator."""

    def mc_dropout(
        model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        layers = [layer for layer in model.modules() if isinstance(layer, kinds)]
        seed = int(torch.randint(2**62, (1,), generator=generator))
        samples = []
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(seed)
            try:
                for layer in layers:
                    layer.train()
                for _ in range(n_samples):
                    if seed_in_the_loop:
                        torch.manual_seed(seed)
                    samples.append(model(inputs).softmax(1))
            finally:
                for layer in layers:
                    back(layer)
        probabilities = torch.stack(samples)
        return probabilities.mean(0), probabilities.std(0, correction=correction)

    return mc_dropout


def all_samples_in_one_batch(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> list[Tensor]:
    """Hooks that replace what the layers hand on; sums of squares instead of `std`."""

    def noisy(layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> Tensor:
        (values,) = arguments
        shape = values.shape if isinstance(layer, nn.Dropout) else (*values.shape[:2], 1, 1)
        return values * (torch.rand(shape, generator=generator) >= layer.p) / (1 - layer.p)

    hooks = [layer.register_forward_hook(noisy) for layer in model.modules() if isinstance(layer, DROPOUTS)]
    try:
        with torch.no_grad():
            probabilities = model(inputs.repeat_interleave(n_samples, 0)).softmax(1)
    finally:
        for hook in hooks:
            hook.remove()
    probabilities = probabilities.view(len(inputs), n_samples, -1)
    mean = probabilities.mean(1)
    return [mean, (probabilities.square().mean(1) - mean.square()).clamp(min=0).sqrt()]


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "dense_dropout": {
        "zeros": dense_by_setting_zeros,
        "diagonal": lambda weight, keep: weight @ torch.diag(keep).to(weight.dtype),
    },
    "conv_matrix": {"jacobian": jacobian, "unit images": unit_images, "cut": cut_from_the_padded_matrix},
    "conv_dropout_matrix": {"diagonal": conv_of_kept, "jacobian": conv_dropout_by_jacobian},
    "weights_without_gradient": {"autograd": without_gradient_by_autograd, "windows": without_gradient_by_windows},
    "dropout": {
        "bernoulli": by_bernoulli,
        "masked_fill": by_masked_fill,
        "torch": by_torchs_own(functional.dropout),
    },
    "spatial_dropout": {"loop": maps_in_a_loop, "torch": by_torchs_own(functional.dropout2d)},
    "mc_dropout": {
        "torch's layers": switched_on(),
        "divided by n - 1": switched_on(correction=1),
        "one batch": all_samples_in_one_batch,
        "hooks": lambda *arguments, **options: with_masks_of(
            lambda layer, values, ps, generator: by_kind(layer, values, layer.p, generator)
        )(*arguments, **options),
    },
}


# ---------------------------------------------------------------------------------------------------------------------
# Known mistakes, coded by other people
# ---------------------------------------------------------------------------------------------------------------------


def everything_in_train_mode(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    statistics = {name: buffer.clone() for name, buffer in model.named_buffers()}
    model.train()
    try:
        mean, std = switched_on(back=nn.Module.train)(model, inputs, n_samples, generator)
    finally:
        model.eval()
        for name, buffer in model.named_buffers():
            buffer.copy_(statistics[name])
    return mean, std


def softmax_of_mean_scores(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    class Logits(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            scores.append(model(images))
            return scores[-1]

    scores: list[Tensor] = []
    model_and_scores = Logits()
    model_and_scores.model = model
    _, std = switched_on()(model_and_scores, inputs, n_samples, generator)
    return torch.stack(scores).mean(0).softmax(1), std


MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("dense_dropout", "rows"): lambda weight, keep: weight * keep[:, None],
    ("conv_dropout_matrix", "rows"): lambda weight, keep, padding=0: (
        unit_images(weight, keep.shape[1:], padding) * keep.flatten()[:, None]
    ),
    ("conv_matrix", "flipped"): lambda weight, input_size, padding=0: unit_images(
        weight.flip(-1).flip(-2), input_size, padding
    ),
    ("conv_matrix", "circular_padding"): lambda weight, input_size, padding=0: torch.autograd.functional.jacobian(
        lambda x: functional.conv2d(functional.pad(x[None], (padding,) * 4, mode="circular"), weight).flatten(),
        torch.zeros(weight.shape[1], *input_size, dtype=weight.dtype),
    ).flatten(1),
    ("dropout", "not_scaled"): lambda inputs, p, generator=None: (
        inputs * torch.bernoulli(torch.full(inputs.shape, 1 - p), generator=generator).to(inputs.dtype)
    ),
    ("dropout", "shared_by_images"): lambda inputs, p, generator=None: (
        inputs * (torch.rand(inputs.shape[1:], generator=generator) > p) / (1 - p)
        if inputs.dim() > 1
        else by_bernoulli(inputs, p, generator)
    ),
    ("dropout", "mask_swapped"): lambda inputs, p, generator=None: (
        inputs * (torch.rand(inputs.shape, generator=generator) < p) / (1 - p)
    ),
    ("dropout", "whole_maps"): lambda inputs, p, generator=None: (
        by_torchs_own(functional.dropout2d)(inputs, p, generator)
        if inputs.dim() == 4
        else by_bernoulli(inputs, p, generator)
    ),
    ("dropout", "nothing_dropped"): lambda inputs, p, generator=None: functional.dropout(inputs, p, training=False),
    ("spatial_dropout", "single_numbers"): by_torchs_own(functional.dropout),
    ("spatial_dropout", "shared_by_images"): lambda inputs, p, generator=None: (
        inputs * torch.bernoulli(torch.full((inputs.shape[1], 1, 1), 1 - p), generator=generator).to(inputs) / (1 - p)
    ),
    ("mc_dropout", "batch_norm_in_train_mode"): everything_in_train_mode,
    ("mc_dropout", "units_only"): switched_on(nn.Dropout),
    ("mc_dropout", "same_masks"): switched_on(seed_in_the_loop=True),
    ("mc_dropout", "softmax_of_the_mean"): softmax_of_mean_scores,
    ("mc_dropout", "no_dropout"): switched_on(nn.AlphaDropout),
}


# ---------------------------------------------------------------------------------------------------------------------
# Wrong answers that are no known mistake
# ---------------------------------------------------------------------------------------------------------------------


def smallest_dropped(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Not random at all: the smallest numbers go."""
    border = inputs.flatten().double().quantile(p)
    return torch.where(inputs < border, 0, inputs / (1 - p)) if p else inputs.clone()


def own_seed(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    return by_bernoulli(inputs, p, torch.Generator().manual_seed(0))


def from_the_global_state(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    return functional.dropout(inputs, p)


def in_place(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    inputs[torch.rand(inputs.shape, generator=generator) < p] = 0
    return inputs / (1 - p)


def one_mask_for_two_images(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Images 1 and 2 share a mask, 3 and 4, ..."""
    if len(inputs) % 2 or inputs.dim() == 1:
        return by_bernoulli(inputs, p, generator)
    ones = by_bernoulli(torch.ones_like(inputs[::2]), p, generator)
    return inputs * ones.repeat_interleave(2, 0)


def neighbours_together(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Two neighbouring numbers of an image share their fate."""
    if inputs.shape[-1] % 2 or inputs.dim() != 2:
        return by_bernoulli(inputs, p, generator)
    return inputs * by_bernoulli(torch.ones_like(inputs[:, ::2]), p, generator).repeat_interleave(2, 1)


def left_in_train_mode(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    return switched_on(back=lambda layer: layer)(model, inputs, n_samples, generator)


def masks_shared_by_the_batch(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """One mask a sample, for all images."""

    def noisy(layer: nn.Module, arguments: tuple[Tensor], output: Tensor) -> Tensor:
        (values,) = arguments
        shape = values.shape[1:] if isinstance(layer, nn.Dropout) else (values.shape[1], 1, 1)
        return values * (torch.rand(shape, generator=generator) >= layer.p) / (1 - layer.p)

    hooks = [layer.register_forward_hook(noisy) for layer in model.modules() if isinstance(layer, DROPOUTS)]
    try:
        with torch.no_grad():
            samples = torch.stack([model(inputs).softmax(1) for _ in range(n_samples)])
    finally:
        for hook in hooks:
            hook.remove()
    return samples.mean(0), samples.std(0, correction=0)


def running_statistics_changed(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    try:
        model.train()
        return switched_on(back=nn.Module.train)(model, inputs, n_samples, generator)
    finally:
        model.eval()


def hooks_left_by_an_error(
    model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    hook = model[0].register_forward_hook(lambda layer, arguments, output: None)
    answer = switched_on()(model, inputs, n_samples, generator)
    hook.remove()
    return answer


def square_images_only(weight: Tensor, input_size: tuple[int, int], padding: int = 0) -> Tensor:
    return unit_images(weight, (input_size[0], input_size[0]), padding)


def seeded_anew(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """The seed of the generator, not the generator: the same masks at each call."""
    return by_bernoulli(inputs, p, generator and torch.Generator().manual_seed(generator.initial_seed()))


def set_back(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    state = generator and generator.get_state()
    result = by_bernoulli(inputs, p, generator)
    if generator:
        generator.set_state(state)
    return result


def always_seed_0_without_a_generator(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    return by_bernoulli(inputs, p, generator or torch.Generator().manual_seed(0))


def one_of_four_masks(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    seed = int(torch.randint(0, 4, (1,), generator=generator))
    return by_bernoulli(inputs, p, torch.Generator().manual_seed(seed))


def neighbours_alike(inputs: Tensor, p: float, generator: torch.Generator | None = None) -> Tensor:
    """Every fifth number does as its neighbour does."""
    kept = torch.rand(inputs.shape, generator=generator) >= p
    follows = torch.rand(inputs.shape, generator=generator) < 0.2
    return inputs * torch.where(follows, kept.roll(1, -1), kept) / (1 - p)


def without_default(inputs: Tensor, p: float, generator: torch.Generator) -> Tensor:
    return by_bernoulli(inputs, p, generator)


def with_masks_of(
    drop: Callable[[nn.Module, Tensor, list[float], torch.Generator | None], Tensor],
    clear: bool = False,
    source: Callable[[torch.Generator], torch.Generator] = lambda generator: generator,
) -> Callable[..., tuple[Tensor, Tensor]]:
    """Monte Carlo dropout with hooks that hand on drop(layer, values, the p of all layers, generator)."""

    def mc_dropout(
        model: nn.Module, inputs: Tensor, n_samples: int = 50, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        layers = [layer for layer in model.modules() if isinstance(layer, DROPOUTS)]
        ps, draws = [layer.p for layer in layers], generator and source(generator)
        hooks = [
            layer.register_forward_hook(lambda layer, values, _: drop(layer, values[0], ps, draws)) for layer in layers
        ]
        try:
            with torch.no_grad():
                samples = torch.stack([model(inputs).softmax(1) for _ in range(n_samples)])
        finally:
            for hook in hooks:
                hook.remove()
            if clear:
                for layer in model.modules():
                    layer._forward_hooks.clear()
        return samples.mean(0), samples.std(0)

    return mc_dropout


def by_kind(layer: nn.Module, values: Tensor, p: float, generator: torch.Generator | None) -> Tensor:
    return (by_bernoulli if isinstance(layer, nn.Dropout) else maps_in_a_loop)(values, p, generator)


REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "square images only": ("conv_matrix", square_images_only, r"wider than high: the shape of your answer is"),
    "float64 lost": (
        "dense_dropout",
        lambda weight, keep: (weight * keep).float(),
        r"in float64: the dtype of your answer is torch.float32",
    ),
    "keep as numbers changed in place": (
        "conv_dropout_matrix",
        lambda weight, keep, padding=0: (conv_of_kept(weight, keep, padding), keep.fill_(True))[0],
        r"changed `keep` itself, in place",
    ),
    "numbers for bool": (
        "weights_without_gradient",
        lambda keep, kernel_size, padding=0: without_gradient_by_windows(keep, kernel_size, padding).float(),
        r"the dtype of your answer is torch.float32; it should be torch.bool",
    ),
    "smallest dropped": ("dropout", smallest_dropped, r"The same generator .* must give the same answer"),
    "a seed of its own": ("dropout", own_seed, r"The same generator .* do not set its seed"),
    "global state": ("dropout", from_the_global_state, r"drew from the global random state"),
    "in place": ("dropout", in_place, r"changed `inputs` itself, in place"),
    "pairs of images": ("dropout", one_mask_for_two_images, r"each image of a batch draws a mask of its own"),
    "pairs of numbers": ("dropout", neighbours_together, r"dropped independently of each other"),
    "a seed of its own for maps": (
        "spatial_dropout",
        lambda inputs, p, generator=None: maps_in_a_loop(inputs, p, torch.Generator().manual_seed(1)),
        r"The same generator",
    ),
    "one mask for a batch of images": (
        "dropout",
        lambda inputs, p, generator=None: inputs * by_bernoulli(torch.ones(inputs.shape[-3:]), p, generator),
        r"each image of a batch draws a mask of its own|the dtype of your answer",
    ),
    "seeded anew": ("dropout", seeded_anew, r"two calls with one generator give different masks"),
    "set back": ("dropout", set_back, r"two calls with one generator give different masks"),
    "one of four masks": ("dropout", one_of_four_masks, r"two calls with one generator give different masks"),
    "seed 0 without a generator": ("dropout", always_seed_0_without_a_generator, r"other masks at each call"),
    "no default": ("dropout", without_default, r"called as dropout\(inputs, p\), and yours takes"),
    "magnitudes": (
        "dropout",
        lambda inputs, p, generator=None: by_bernoulli(inputs.abs(), p, generator),
        r"each number is 0 or the input's",
    ),
    "negative numbers stay out": (
        "dropout",
        lambda inputs, p, generator=None: by_bernoulli(inputs.relu(), p, generator),
        r"the share of the numbers that is dropped is p",
    ),
    "neighbours alike": ("dropout", neighbours_alike, r"dropped independently of each other, neighbours as well"),
    "p slightly wrong": (
        "dropout",
        lambda inputs, p, generator=None: by_bernoulli(inputs, 0.98 * p, generator) * (1 - 0.98 * p) / (1 - p),
        r"very many numbers: This must hold: the share of the numbers that is dropped is p",
    ),
    "p of the last layer": (
        "mc_dropout",
        with_masks_of(lambda layer, values, ps, generator: by_kind(layer, values, ps[-1], generator)),
        r"inside of another layer.* numbers are not",
    ),
    "hooks of others taken off": (
        "mc_dropout",
        with_masks_of(lambda layer, values, ps, generator: by_kind(layer, values, layer.p, generator), clear=True),
        r"a hook that was on layer '0.1' before is gone",
    ),
    "samples of a copied seed": (
        "mc_dropout",
        with_masks_of(
            lambda layer, values, ps, generator: by_kind(layer, values, layer.p, generator),
            source=lambda generator: torch.Generator().manual_seed(generator.initial_seed()),
        ),
        r"two calls with one generator give different samples",
    ),
    "left in train mode": ("mc_dropout", left_in_train_mode, r"in another mode \(train instead of eval\)"),
    "hooks left by an error": ("mc_dropout", hooks_left_by_an_error, r"a hook is still on layer"),
    "masks shared by the batch": ("mc_dropout", masks_shared_by_the_batch, r"gets masks of its own each time"),
    "running statistics changed": (
        "mc_dropout",
        running_statistics_changed,
        r"changed the running statistics of `model`, as batch norm does in train mode",
    ),
    "mean alone": ("mc_dropout", lambda *a, **k: switched_on()(*a, **k)[0], r"a tuple of 2 values is asked for"),
}
