"""Answers to the exercises of unit 05 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from captum import attr
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

Target = int | Tensor
Function = Callable[[Tensor], Tensor]


# ---- filters


def filters_by_numpy(weight: Tensor) -> Tensor:
    array = np.moveaxis(weight.numpy(), 1, -1).reshape(len(weight), -1)
    low, high = array.min(1, keepdims=True), array.max(1, keepdims=True)
    span = np.where(high > low, high - low, 1)
    scaled = np.where(high > low, (array - low) / span, 0.5)
    return torch.tensor(scaled, dtype=weight.dtype).reshape(len(weight), *weight.shape[2:], 3)


def filters_by_flattening(weight: Tensor) -> Tensor:
    flat = weight.flatten(1)
    low, high = flat.min(1, keepdim=True).values, flat.max(1, keepdim=True).values
    scaled = ((flat - low) / (high - low)).nan_to_num(0.5).view_as(weight)
    return torch.einsum("ochw->ohwc", scaled)


def filters_in_a_loop(weight: Tensor) -> Tensor:
    pictures = []
    for w in weight:
        w = w - w.min()
        pictures.append(w.permute(1, 2, 0) / w.max() if w.max() > 0 else torch.full((*w.shape[1:], 3), 0.5).to(w))
    return torch.stack(pictures)


def filters_with_small_number(weight: Tensor) -> Tensor:
    """Divide by maximum minus minimum plus a small number, as people do against 0 / 0: a constant filter is 0 then."""
    low, high = weight.amin((1, 2, 3), keepdim=True), weight.amax((1, 2, 3), keepdim=True)
    return ((weight - low) / (high - low + 1e-8)).permute(0, 2, 3, 1)


# ---- feature maps


def by_extractor(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """torchvision's extractor, on a copy of the network whose ReLUs do not work in place."""
    import copy

    own = copy.deepcopy(model)
    for module in own.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    with torch.no_grad():
        return create_feature_extractor(own, list(layers))(inputs)


def layer_by_layer(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """The layers called one after the other, with the names that they have in the whole network."""
    found, x = {}, inputs.clone()
    for name, layer in model.named_modules():
        if not list(layer.children()):
            x = layer(x)
            if name in layers:
                found[name] = x.clone()
    return found


def by_hook_on_all(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    names = {module: name for name, module in model.named_modules()}
    found = {}

    def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        found[names[module]] = output.clone()

    handles = [module.register_forward_hook(hook) for module in names]
    try:
        model(inputs.clone())
    finally:
        [handle.remove() for handle in handles]
    return {name: found[name] for name in layers}


def keeping(keep: Callable[[Tensor], Any], tidy: bool = True, passes: int = 1) -> Callable[..., dict[str, Any]]:
    """Return feature_maps with hooks, `keep` what comes out; tidy: remove the hooks, also if the network raises."""

    def feature_maps(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Any]:
        found, handles = {}, []
        for name, layer in model.named_modules():
            if name in layers:
                handles.append(
                    layer.register_forward_hook(lambda m, given, out, name=name: found.update({name: keep(out)}))
                )
        try:
            for _ in range(passes):
                model(inputs.clone())
        except RuntimeError:
            if not tidy:
                handles.clear()
            raise
        finally:
            for handle in handles:
                handle.remove()
        return found

    return feature_maps


def sliced(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Cut the network behind each layer and run the first part: a pass for each."""
    found = {}
    for name in layers:
        parts = name.split(".")
        if len(parts) == 1:
            found[name] = model[: int(name) + 1](inputs.clone())
        else:
            whole = nn.Sequential(*[layer for layer in model.modules() if not list(layer.children())])
            found[name] = whole[: int(parts[1]) + 1](inputs.clone())
    return found


def loop_variable(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    found, handles = {}, []
    for name in layers:

        def hook(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            found[name] = output.clone()  # noqa: B023  (this is the mistake)

        handles.append(model.get_submodule(name).register_forward_hook(hook))
    try:
        model(inputs.clone())
    finally:
        for handle in handles:
            handle.remove()
    return found


def hooks_left(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    found = {}
    for name in layers:
        layer = model.get_submodule(name)
        layer.register_forward_hook(lambda m, given, out, name=name: found.update({name: out.clone()}))
    model(inputs.clone())
    return found


def in_train_mode(model: nn.Module, inputs: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    model.train()
    return keeping(torch.clone)(model, inputs, layers)


# ---- occlusion


def captum_occlusion(
    model: nn.Module, inputs: Tensor, target: Target, window: int = 8, stride: int = 4, baselines: float = 0.0
) -> Tensor:
    channels = inputs.shape[1]
    return attr.Occlusion(model).attribute(
        inputs, (channels, window, window), (channels, stride, stride), baselines, target
    )


def starts(size: int, window: int, stride: int) -> list[int]:
    """Where windows begin, until one reaches the border."""
    found = [0]
    while found[-1] + window < size:
        found.append(found[-1] + stride)
    return found


def occlusion_by_masks(
    model: nn.Module, inputs: Tensor, target: Target, window: int = 8, stride: int = 4, baselines: float = 0.0
) -> Tensor:
    """All windows of an image in one batch, and the mean as a product of matrices."""
    height, width = inputs.shape[2:]
    masks = []
    for top in starts(height, window, stride):
        for left in starts(width, window, stride):
            mask = torch.zeros(height, width, dtype=torch.bool)
            mask[top : top + window, left : left + window] = True
            masks.append(mask)
    masks = torch.stack(masks)
    share = masks.float() / masks.float().sum(0)
    maps = []
    for n, image in enumerate(inputs):
        k = int(target) if isinstance(target, int) else int(target[n])
        covered = torch.where(masks[:, None], torch.tensor(baselines, dtype=image.dtype), image)
        with torch.no_grad():
            lost = model(image[None].clone())[0, k] - model(covered)[:, k]
        maps.append(torch.einsum("p,phw->hw", lost, share))
    return torch.stack(maps)[:, None].expand_as(inputs).clone()


def occlusion_by_folding(
    model: nn.Module, inputs: Tensor, target: Target, window: int = 8, stride: int = 4, baselines: float = 0.0
) -> Tensor:
    """The windows' values brought back to the pixels by `F.fold` on a padded image."""
    (height, width), rows = inputs.shape[2:], torch.arange(len(inputs))
    tops, lefts = starts(height, window, stride), starts(width, window, stride)
    full = tops[-1] + window, lefts[-1] + window
    with torch.no_grad():
        whole = model(inputs.clone())[rows, target]
        lost = []
        for top in tops:
            for left in lefts:
                covered = inputs.clone()
                covered[:, :, top : top + window, left : left + window] = baselines
                lost.append(whole - model(covered)[rows, target])
    values = torch.stack(lost, 1)[:, None].expand(-1, window**2, -1)
    total = F.fold(values, full, window, stride=stride)
    count = F.fold(torch.ones_like(values), full, window, stride=stride)
    return (total / count)[..., :height, :width].expand_as(inputs).clone()


def occlusion_by(
    visit: Callable[[int, int, int], Sequence[int]] = starts,
    cover: Callable[[Tensor, int, int, int, float], Tensor] | None = None,
    lost: Callable[[Tensor, Tensor], Tensor] = torch.sub,
    add: Callable[[Tensor, Tensor], Tensor] = torch.add,
    counted: bool = True,
) -> Callable[..., Tensor]:
    """Return an occlusion in loops; `add` brings what a pixel has and what it gets together."""

    def covered_by(x: Tensor, top: int, left: int, window: int, baselines: float) -> Tensor:
        x = x.clone()
        x[:, :, top : top + window, left : left + window] = baselines
        return x

    def occlusion(
        model: nn.Module, inputs: Tensor, target: Target, window: int = 8, stride: int = 4, baselines: float = 0.0
    ) -> Tensor:
        rows, canvas = torch.arange(len(inputs)), inputs.clone()
        total, count = torch.zeros_like(inputs), torch.zeros_like(inputs)
        with torch.no_grad():
            whole = model(inputs.clone())[rows, target]
            for top in visit(inputs.shape[2], window, stride):
                for left in visit(inputs.shape[3], window, stride):
                    here = slice(top, top + window), slice(left, left + window)
                    after = model((cover or covered_by)(canvas, top, left, window, baselines))[rows, target]
                    value = lost(whole, after)[:, None, None, None]
                    total[:, :, here[0], here[1]] = add(total[:, :, here[0], here[1]], value)
                    count[:, :, here[0], here[1]] += 1
        return total / count.clamp(min=1) if counted else total

    return occlusion


def occlusion_counted_by_height(
    model: nn.Module, inputs: Tensor, target: Target, window: int = 8, stride: int = 4, baselines: float = 0.0
) -> Tensor:
    """Return occlusion in loops that take the height for both sides, with 0 / 0 in what no window covers."""
    places = list(starts(inputs.shape[2], window, stride))
    total, count = torch.zeros_like(inputs), torch.zeros_like(inputs)
    rows = torch.arange(len(inputs))
    with torch.no_grad():
        whole = model(inputs.clone())[rows, target]
        for top in places:
            for left in places:
                covered = inputs.clone()
                covered[:, :, top : top + window, left : left + window] = baselines
                total[:, :, top : top + window, left : left + window] += (whole - model(covered.clone())[rows, target])[
                    :, None, None, None
                ]
                count[:, :, top : top + window, left : left + window] += 1
    return total / count


def covered_forever(x: Tensor, top: int, left: int, window: int, baselines: float) -> Tensor:
    x[:, :, top : top + window, left : left + window] = baselines
    return x


def covered_first_channel(x: Tensor, top: int, left: int, window: int, baselines: float) -> Tensor:
    mask = torch.zeros_like(x)
    mask[:, 0, top : top + window, left : left + window] = 1
    return x * (1 - mask) + baselines * mask


def covered_by_multiplying(x: Tensor, top: int, left: int, window: int, baselines: float) -> Tensor:
    """Multiply the window with the baseline: right for 0 only."""
    x = x.clone()
    x[:, :, top : top + window, left : left + window] *= baselines
    return x


def covered_one_pixel_larger(x: Tensor, top: int, left: int, window: int, baselines: float) -> Tensor:
    x = x.clone()
    x[:, :, top : top + window + 1, left : left + window + 1] = baselines
    return x


def covered_around_the_start(x: Tensor, top: int, left: int, window: int, baselines: float) -> Tensor:
    """Put the middle of the window where it should begin."""
    x = x.clone()
    first = max(top - window // 2, 0), max(left - window // 2, 0)
    x[:, :, first[0] : top + window - window // 2, first[1] : left + window - window // 2] = baselines
    return x


def with_random_baseline(method: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return the method with a baseline that is random."""

    def random(*arguments: Any, window: int = 8, stride: int = 4, baselines: float = 0.0) -> Tensor:
        drawn = float(torch.rand(1, generator=torch.Generator().manual_seed(5)))
        return method(*arguments, window, stride, drawn)

    return random


# ---- occlusion of the loss


def loss_by(
    loss: Callable[[Tensor, Tensor], Tensor],
    visit: Callable[[int, int, int], Sequence[int]] = starts,
    arrange: Callable[[Tensor, int, int], Tensor] = lambda flat, rows, columns: flat.t().reshape(-1, rows, columns),
    default: float = 0.5,
) -> Callable[..., Tensor]:
    """Return an occlusion of the loss in loops; `loss` of (scores, classes), `arrange` of (windows, N)."""

    def occlusion_loss(
        model: nn.Module, inputs: Tensor, label: Target, window: int = 8, stride: int = 4, baselines: float = default
    ) -> Tensor:
        classes = torch.as_tensor(label).expand(len(inputs))
        tops, lefts = visit(inputs.shape[2], window, stride), visit(inputs.shape[3], window, stride)
        values = []
        with torch.no_grad():
            whole = loss(model(inputs.clone()), classes)
            for top in tops:
                for left in lefts:
                    covered = inputs.clone()
                    covered[:, :, top : top + window, left : left + window] = baselines
                    values.append((whole - loss(model(covered), classes)).expand(len(inputs)))
        return arrange(torch.stack(values), len(tops), len(lefts))

    return occlusion_loss


def each_loss(scores: Tensor, classes: Tensor) -> Tensor:
    return F.cross_entropy(scores, classes, reduction="none")


def loss_by_logsumexp(scores: Tensor, classes: Tensor) -> Tensor:
    return scores.logsumexp(1) - scores.gather(1, classes[:, None])[:, 0]


def loss_by_probabilities(scores: Tensor, classes: Tensor) -> Tensor:
    return -torch.log(torch.softmax(scores, dim=1)[torch.arange(len(scores)), classes])


# ---- maximization


def climb_by(
    change: Callable[[Tensor, Tensor, float], Tensor] | None = None,
    penalty: Callable[[Tensor], Tensor] = lambda x: (x**2).sum(),
    keep: Callable[[Tensor], Tensor] = lambda x: x.clamp(0, 1),
    after: Callable[[Tensor, Tensor, Tensor], Any] = lambda x, scores, start: (x, scores),
    early: bool = False,
    reset: bool = True,
) -> Callable[..., Any]:
    """Return an ascent by .backward() on a single leaf; `change` of (x, gradient, lr), `after` what is returned."""

    def maximize(
        score: Function,
        start: Tensor,
        n_steps: int = 100,
        lr: float = 0.1,
        l2: float = 0.0,
        prior: Function | None = None,
    ) -> Any:
        x = start.clone().requires_grad_()
        scores = []
        for _ in range(n_steps):
            values = score(x.clone())
            scores.append(values.detach())
            objective = values.sum() - l2 * penalty(x)
            if prior is not None:
                objective = objective + prior(x.clone()).sum()
            if reset:
                x.grad = None
            objective.backward()
            with torch.no_grad():
                x.copy_(keep(change(x, x.grad, lr) if change else x + lr * x.grad))
        with torch.no_grad():
            if not early:
                scores.append(score(x.clone()))
            return after(x.detach().clone(), torch.stack(scores), start)

    return maximize


def by_optimizer(make: Callable[[list[Tensor], float, float], torch.optim.Optimizer], sign: float = 1.0) -> Any:
    """Return an ascent with an optimizer of torch, made of (parameters, lr, l2)."""

    def maximize(
        score: Function,
        start: Tensor,
        n_steps: int = 100,
        lr: float = 0.1,
        l2: float = 0.0,
        prior: Function | None = None,
    ) -> tuple[Tensor, Tensor]:
        x = start.clone().requires_grad_()
        optimizer = make([x], lr, l2)
        scores = [score(x.detach().clone())]
        for _ in range(n_steps):
            optimizer.zero_grad()
            value = score(x.clone()).sum()
            if prior is not None:
                value = value + prior(x.clone()).sum()
            (-sign * value).backward()
            optimizer.step()
            with torch.no_grad():
                x.clamp_(0, 1)
                scores.append(score(x.clone()))
        return x.detach(), torch.stack(scores).detach()

    return maximize


def image_by_image(
    score: Function,
    start: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.0,
    prior: Function | None = None,
) -> tuple[Tensor, Tensor]:
    """Each image alone, as a batch of one."""
    found = [climb_by()(score, image[None], n_steps, lr, l2, prior) for image in start]
    return torch.cat([image for image, _ in found]), torch.cat([scores for _, scores in found], 1)


def start_in_place(score: Function, start: Tensor, n_steps: int = 100, lr: float = 0.1, **options: Any) -> Any:
    image, scores = climb_by()(score, start, n_steps, lr, **options)
    start.copy_(image)
    return start, scores


def best_on_the_way(score: Function, start: Tensor, n_steps: int = 100, lr: float = 0.1, **options: Any) -> Any:
    """The image with the highest score so far, in place of the last one."""
    images = [climb_by()(score, start, k, lr, **options)[0] for k in range(1, n_steps + 1)]
    scores = climb_by()(score, start, n_steps, lr, **options)[1]
    best = scores[1:].argmax(0)
    image = torch.stack([images[k][n] for n, k in enumerate(best)])
    return image, scores.cummax(0).values


def code_climb(
    penalty: Callable[[Tensor, Tensor], Tensor] = lambda z, image: (z**2).sum(),
    keep: Callable[[Tensor], Tensor] = lambda z: z,
    after: Callable[[Tensor, Tensor, Tensor, Tensor], Any] = lambda image, scores, z, start: (image, scores, z),
    stale: bool = False,
) -> Callable[..., Any]:
    """Return an ascent in codes by .backward(); stale: the image is the one made before the last step."""

    def maximize(
        generator_network: nn.Module,
        score: Function,
        start_code: Tensor,
        n_steps: int = 100,
        lr: float = 0.1,
        l2: float = 0.01,
    ) -> Any:
        z = start_code.clone().requires_grad_()
        scores, image = [], None
        for _ in range(n_steps):
            z.grad = None
            image = generator_network(z)
            values = score(image.clone())
            scores.append(values.detach())
            (values.sum() - l2 * penalty(z, image)).backward()
            with torch.no_grad():
                z.copy_(keep(z + lr * z.grad))
        with torch.no_grad():
            last = generator_network(z)
            scores.append(score(last.clone()))
            shown = image if stale else last
            return after(shown.detach().clone(), torch.stack(scores), z.detach().clone(), start_code)

    return maximize


def code_by_sgd(
    generator_network: nn.Module,
    score: Function,
    start_code: Tensor,
    n_steps: int = 100,
    lr: float = 0.1,
    l2: float = 0.01,
) -> tuple[Tensor, Tensor, Tensor]:
    z = start_code.clone().requires_grad_()
    optimizer = torch.optim.SGD([z], lr, weight_decay=2 * l2)
    scores = [score(generator_network(z)).detach()]
    for _ in range(n_steps):
        optimizer.zero_grad()
        (-score(generator_network(z)).sum()).backward()
        optimizer.step()
        scores.append(score(generator_network(z)).detach())
    return generator_network(z).detach(), torch.stack(scores), z.detach()


def code_one_by_one(
    generator_network: nn.Module, score: Function, start_code: Tensor, **options: Any
) -> tuple[Tensor, ...]:
    parts = [code_climb()(generator_network, score, code[None], **options) for code in start_code]
    images, scores, codes = zip(*parts, strict=True)
    return torch.cat(images), torch.cat(scores, 1), torch.cat(codes)


# ---- logs


def dead_in_a_loop(activations: Tensor) -> float:
    dead = sum(not activations[:, k].any() for k in range(activations.shape[1]))
    return dead / activations.shape[1]


def dead_by_size(activations: Tensor) -> Tensor:
    sizes = activations.abs().amax(0)
    return (sizes.flatten(1).amax(1) == 0 if sizes.dim() > 1 else sizes == 0).float().mean()


def factor_by_logarithms(gradients: list[Tensor]) -> float:
    logs = [math.log(float((g.double() ** 2).sum())) / 2 for g in gradients]
    return math.exp((logs[0] - logs[-1]) / (len(logs) - 1))


def factor_by_products(gradients: list[Tensor]) -> float:
    norms = [float(torch.linalg.norm(g.flatten())) for g in gradients]
    return float(np.prod([a / b for a, b in itertools.pairwise(norms)]) ** (1 / (len(norms) - 1)))


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "filter_images": {
        "numpy": filters_by_numpy,
        "flattened": filters_by_flattening,
        "a loop": filters_in_a_loop,
    },
    "feature_maps": {
        "torchvision's extractor": by_extractor,
        "layer by layer": layer_by_layer,
        "hooks on all": by_hook_on_all,
        "hooks": keeping(torch.clone),
        "with its graph": keeping(lambda output: output + 0),
    },
    "occlusion": {
        "captum": captum_occlusion,
        "all windows at once": occlusion_by_masks,
        "fold": occlusion_by_folding,
        "loops": occlusion_by(),
    },
    "occlusion_loss": {
        "cross entropy": loss_by(each_loss),
        "logsumexp": loss_by(loss_by_logsumexp),
    },
    "maximize_activation": {
        "backward": climb_by(),
        "SGD with weight decay": by_optimizer(lambda x, lr, l2: torch.optim.SGD(x, lr, weight_decay=2 * l2)),
        "image by image": image_by_image,
        "a list": climb_by(after=lambda x, scores, start: [x, scores]),
        "in float64 inside": climb_by(change=lambda x, g, lr: (x.double() + lr * g.double()).float()),
    },
    "maximize_in_code_space": {
        "backward": code_climb(),
        "SGD with weight decay": code_by_sgd,
        "one by one": code_one_by_one,
    },
    "dead_share": {"a loop": dead_in_a_loop, "the largest": dead_by_size},
    "gradient_factor": {"logarithms": factor_by_logarithms, "products": factor_by_products},
}


MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("filter_images", "constant_black"): filters_with_small_number,
    ("filter_images", "reshaped"): lambda weight: (
        filters_by_numpy(weight).movedim(-1, 1).reshape(len(weight), *weight.shape[2:], 3)
    ),
    ("filter_images", "channels_first"): lambda weight: filters_by_flattening(weight).permute(0, 3, 1, 2),
    ("filter_images", "bytes"): lambda weight: 255 * filters_by_numpy(weight),
    ("feature_maps", "overwritten"): keeping(torch.Tensor.detach),
    ("feature_maps", "pass_per_layer"): sliced,
    ("feature_maps", "one_name_for_all"): loop_variable,
    ("feature_maps", "pass_too_many"): keeping(torch.clone, passes=2),
    ("feature_maps", "after_relu"): keeping(F.relu),
    ("feature_maps", "first_image"): keeping(lambda output: output[0:1].clone()),
    ("occlusion", "window_missing_at_the_border"): occlusion_by(
        lambda size, window, stride: range(0, size - window + 1, stride)
    ),
    ("occlusion", "square_image_never_covered"): occlusion_counted_by_height,
    ("occlusion", "windows_beyond"): occlusion_by(lambda size, window, stride: range(0, size, stride)),
    ("occlusion", "moved_back_inside"): occlusion_by(
        lambda size, window, stride: [min(first, size - window) for first in starts(size, window, stride)]
    ),
    ("occlusion", "never_uncovered"): occlusion_by(cover=covered_forever),
    ("occlusion", "one_channel"): occlusion_by(cover=covered_first_channel),
    ("occlusion", "sum_of_windows"): occlusion_by(counted=False),
    ("occlusion", "last_of_windows"): occlusion_by(add=lambda before, value: value.expand_as(before), counted=False),
    ("occlusion", "sign"): occlusion_by(lost=lambda whole, after: after - whole),
    ("occlusion", "covered_score"): occlusion_by(lost=lambda whole, after: after),
    ("occlusion", "negative_dropped"): occlusion_by(lost=lambda whole, after: F.relu(whole - after)),
    ("occlusion_loss", "mean_of_batch"): loss_by(F.cross_entropy),
    ("occlusion_loss", "sum_of_batch"): loss_by(
        lambda scores, classes: F.cross_entropy(scores, classes, reduction="sum")
    ),
    ("occlusion_loss", "twice_softmax"): loss_by(lambda scores, classes: each_loss(scores.softmax(1), classes)),
    ("occlusion_loss", "predicted_class"): lambda model, inputs, label, **options: loss_by(each_loss)(
        model, inputs, model(inputs.clone()).argmax(1), **options
    ),
    ("occlusion_loss", "flat"): loss_by(each_loss, arrange=lambda flat, rows, columns: flat.t()),
    ("occlusion_loss", "windows_beyond"): loss_by(each_loss, lambda size, window, stride: range(0, size, stride)),
    ("occlusion_loss", "black_by_default"): loss_by(each_loss, default=0.0),
    ("occlusion_loss", "score"): loss_by(lambda scores, classes: -scores.gather(1, classes[:, None])[:, 0]),
    ("occlusion_loss", "base_two"): loss_by(lambda scores, classes: each_loss(scores, classes) * 1.4426950408889634),
    ("occlusion_loss", "log_of_zero"): loss_by(loss_by_probabilities),
    ("occlusion_loss", "log_of_almost_zero"): loss_by(
        lambda scores, classes: -torch.log(scores.softmax(1).gather(1, classes[:, None])[:, 0] + 1e-8)
    ),
    ("maximize_activation", "accumulated"): climb_by(reset=False),
    ("maximize_activation", "without_the_end"): climb_by(early=True),
    ("maximize_activation", "descent"): by_optimizer(
        lambda x, lr, l2: torch.optim.SGD(x, lr, weight_decay=-2 * l2), -1
    ),
    ("maximize_activation", "penalty_without_two"): by_optimizer(
        lambda x, lr, l2: torch.optim.SGD(x, lr, weight_decay=l2)
    ),
    ("maximize_activation", "penalty_not_squared"): climb_by(penalty=lambda x: x.flatten(1).norm(dim=1).sum()),
    ("maximize_activation", "penalty_of_magnitudes"): climb_by(penalty=lambda x: x.abs().sum()),
    ("maximize_activation", "not_clipped"): climb_by(keep=lambda x: x),
    ("maximize_activation", "signs"): climb_by(change=lambda x, gradient, lr: x + lr * gradient.sign()),
    ("maximize_activation", "start_returned"): climb_by(after=lambda x, scores, start: (start.clone(), scores)),
    ("maximize_activation", "scores_averaged"): climb_by(after=lambda x, scores, start: (x, scores.mean(dim=-1))),
    ("maximize_in_code_space", "penalty_of_the_image"): code_climb(penalty=lambda z, image: (image**2).sum()),
    ("maximize_in_code_space", "penalty_not_squared"): code_climb(penalty=lambda z, image: z.norm(dim=1).sum()),
    ("maximize_in_code_space", "code_clipped"): code_climb(keep=lambda z: z.clamp(0, 1)),
    ("maximize_in_code_space", "image_one_step_late"): code_climb(stale=True),
    ("maximize_in_code_space", "no_code"): code_climb(after=lambda image, scores, z, start: (image, scores)),
    ("maximize_in_code_space", "code_of_the_start"): code_climb(
        after=lambda image, scores, z, start: (image, scores, start.clone())
    ),
    ("dead_share", "share_of_zeros"): lambda activations: 1 - activations.count_nonzero().item() / activations.numel(),
    ("dead_share", "sum_is_zero"): lambda activations: (
        ((activations.sum(0) if activations.dim() == 2 else activations.sum((0, 2, 3))).abs() < 1e-6)
        .float()
        .mean()
        .item()
    ),
    ("dead_share", "each_place"): lambda activations: (activations.abs().sum(0) == 0).float().mean().item(),
    ("gradient_factor", "one_step_too_many"): lambda gradients: (
        (gradients[0].norm() / gradients[-1].norm()).item() ** (1 / len(gradients))
    ),
    ("gradient_factor", "inverse"): lambda gradients: (
        (gradients[-1].norm() / gradients[0].norm()).item() ** (1 / (len(gradients) - 1))
    ),
    ("gradient_factor", "mean_magnitude"): lambda gradients: (
        (gradients[0].abs().mean() / gradients[-1].abs().mean()).item() ** (1 / (len(gradients) - 1))
    ),
}


# Wrong answers that are no known mistake: the message tells what is wrong, and no hint claims to know why.
REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "filters by quantiles": (
        "filter_images",
        lambda weight: (
            (
                (weight - weight.flatten(1).quantile(0.05, 1).view(-1, 1, 1, 1))
                / (weight.flatten(1).quantile(0.95, 1) - weight.flatten(1).quantile(0.05, 1))
                .clamp(min=1e-6)
                .view(-1, 1, 1, 1)
            )
            .clamp(0, 1)
            .permute(0, 2, 3, 1)
        ),
        "numbers are not",
    ),
    "filters mirrored": ("filter_images", lambda weight: filters_by_numpy(weight).flip(2), "numbers are not"),
    "colours in the order of blue, green, red": (
        "filter_images",
        lambda weight: filters_by_numpy(weight).flip(3),
        "numbers are not",
    ),
    "grey filters": (
        "filter_images",
        lambda weight: filters_by_numpy(weight).mean(3, keepdim=True).expand(-1, -1, -1, 3),
        "numbers are not.*each filter has a 0 and a 1",
    ),
    "filters as numpy": ("filter_images", lambda weight: filters_by_numpy(weight).numpy(), "numpy array"),
    "hooks left": ("feature_maps", hooks_left, "a hook is still on layer '0'"),
    "hooks left after an error": (
        "feature_maps",
        keeping(torch.clone, tidy=False),
        "wrong number of channels.* a hook is still on layer '1'",
    ),
    "train mode": ("feature_maps", in_train_mode, "another mode"),
    "maps as a list": (
        "feature_maps",
        lambda model, inputs, layers: list(keeping(torch.clone)(model, inputs, layers).values()),
        "a dict is asked for",
    ),
    "maps as numpy": ("feature_maps", keeping(lambda output: output.detach().clone().numpy()), "numpy array"),
    "maps without their mean": (
        "feature_maps",
        keeping(lambda output: output - output.mean()),
        "numbers are not .at key '0'",
    ),
    "the inputs cut": (
        "occlusion",
        lambda model, inputs, target, **options: occlusion_by()(model, inputs.clamp_(0.2, 0.8), target, **options),
        "changed `inputs` itself, in place",
    ),
    "a pixel more": ("occlusion", occlusion_by(cover=covered_one_pixel_larger), "numbers are not"),
    "window around its start": ("occlusion", occlusion_by(cover=covered_around_the_start), "numbers are not"),
    "window times baseline": ("occlusion", occlusion_by(cover=covered_by_multiplying), "numbers are not"),
    "random baseline": ("occlusion", with_random_baseline(occlusion_by()), "numbers are not"),
    "mean of two windows": (
        "occlusion",
        occlusion_by(add=lambda before, value: (before + value) / 2, counted=False),
        "numbers are not",
    ),
    "occlusion in float64": ("occlusion", lambda *a, **o: occlusion_by()(*a, **o).double(), "the dtype"),
    "loss with smoothing": (
        "occlusion_loss",
        loss_by(lambda scores, classes: F.cross_entropy(scores, classes, reduction="none", label_smoothing=0.1)),
        "numbers are not",
    ),
    "margin": (
        "occlusion_loss",
        loss_by(lambda scores, classes: scores.amax(1) - scores.gather(1, classes[:, None])[:, 0]),
        "numbers are not",
    ),
    "log of one minus P": (
        "occlusion_loss",
        loss_by(lambda scores, classes: (1 - scores.softmax(1).gather(1, classes[:, None])[:, 0]).log()),
        "numbers are not",
    ),
    "scaled to one": (
        "occlusion_loss",
        loss_by(each_loss, arrange=lambda flat, r, c: flat.t().reshape(-1, r, c) / flat.abs().max()),
        "numbers are not",
    ),
    "start moved in place": ("maximize_activation", start_in_place, "changed `start` itself, in place"),
    "momentum": (
        "maximize_activation",
        by_optimizer(lambda x, lr, l2: torch.optim.SGD(x, lr, momentum=0.9, weight_decay=2 * l2)),
        "numbers are not",
    ),
    "RMSprop": (
        "maximize_activation",
        by_optimizer(lambda x, lr, l2: torch.optim.RMSprop(x, lr, weight_decay=2 * l2)),
        "numbers are not",
    ),
    "the best on the way": ("maximize_activation", best_on_the_way, "numbers are not"),
    "gradient over its mean size": (
        "maximize_activation",
        climb_by(change=lambda x, gradient, lr: x + lr * gradient / gradient.abs().mean()),
        "numbers are not",
    ),
    "image alone": (
        "maximize_activation",
        climb_by(after=lambda x, scores, start: x),
        "a tuple of 2 values is asked for",
    ),
    "smaller range": ("maximize_activation", climb_by(keep=lambda x: x.clamp(0.05, 0.95)), "numbers are not"),
    "half of the penalty on half of the steps": (
        "maximize_activation",
        climb_by(penalty=lambda x: (x[:, :, ::2] ** 2).sum()),
        "numbers are not",
    ),
    "code rounded": ("maximize_in_code_space", code_climb(keep=lambda z: z.mul(10).round() / 10), "numbers are not"),
    "start code moved in place": (
        "maximize_in_code_space",
        code_climb(after=lambda image, scores, z, start: (image, scores, start.copy_(z))),
        "changed `start_code` itself, in place",
    ),
    "penalty of the fourth power": (
        "maximize_in_code_space",
        code_climb(penalty=lambda z, image: (z**4).sum()),
        "numbers are not",
    ),
    "image squashed": (
        "maximize_in_code_space",
        code_climb(after=lambda image, scores, z, start: (image.sigmoid(), scores, z)),
        "numbers are not .value 1 of 3",
    ),
    "hardly ever awake": (
        "dead_share",
        lambda activations: (
            ((activations != 0).float().flatten(2).mean(2).mean(0) < 0.3).float().mean().item()
            if activations.dim() > 2
            else ((activations != 0).float().mean(0) < 0.3).float().mean().item()
        ),
        "the number is not right",
    ),
    "last layer over first, middle ignored, sizes of three": (
        "gradient_factor",
        lambda gradients: sum(g.norm() for g in gradients[:-1]).item() / sum(g.norm() for g in gradients[1:]).item(),
        "the number is not right",
    ),
    "norm with the third power": (
        "gradient_factor",
        lambda gradients: (gradients[0].norm(3) / gradients[-1].norm(3)).item() ** (1 / (len(gradients) - 1)),
        "the number is not right",
    ),
}
