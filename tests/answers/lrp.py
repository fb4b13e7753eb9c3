"""Answers to the exercises of unit 07 that the checks must accept, recognise as a known mistake, or reject."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from zennit import rules as zennit_rules

from course_utils import lrp as package
from course_utils.lrp import AlphaBeta, Epsilon, Gamma, Rule, ZBox, ZPlus, composite

# -- the division and the dense layer ----------------------------------------------------------------------------------


def divide_in_place(relevance: Tensor, z: Tensor, epsilon: float = 1e-6) -> Tensor:
    below = z.clone()
    below[z >= 0] += epsilon
    below[z < 0] -= epsilon
    s = relevance / below
    s[below == 0] = 0
    return s


def divide_by_copysign(relevance: Tensor, z: Tensor, epsilon: float = 1e-6) -> Tensor:
    s = relevance / (z + torch.copysign(torch.full_like(z, epsilon), z + 0.0))
    return torch.nan_to_num(s, nan=0.0, posinf=0.0, neginf=0.0)


def number_by_number(relevance: Tensor, z: Tensor, epsilon: float = 1e-6) -> Tensor:
    numbers = []
    for r, value in zip(relevance.flatten().tolist(), z.flatten().tolist(), strict=True):
        below = value + epsilon if value >= 0 else value - epsilon
        numbers.append(0.0 if below == 0 else r / below)
    return torch.tensor(numbers).view_as(z)


def in_loops(products_of: Callable[..., Tensor], of_bias: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a rule for a dense layer, with a loop over images and outputs.

    products_of: (a (J,), w (J,), options) -> the numbers above the line; of_bias: (b, options) -> what it adds to z.
    """

    def rule(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, **options: float) -> Tensor:
        epsilon = options.pop("epsilon", 0.0)
        result = torch.zeros_like(activations)
        for n, a in enumerate(activations):
            for k, w in enumerate(weight):
                products = products_of(a, w, **options)
                z = products.sum() + of_bias(bias[k], **options)
                z = z + (epsilon if z >= 0 else -epsilon)
                if z != 0:
                    result[n] += products / z * relevance[n, k]
        return result

    return rule


def with_default(rule: Callable[..., Tensor], **defaults: float) -> Callable[..., Tensor]:
    return lambda weight, bias, activations, relevance, **given: rule(
        weight, bias, activations, relevance, **{**defaults, **given}
    )


def zero(bias: Tensor, **options: float) -> Tensor:
    return torch.zeros(())


def alpha_beta_in_loops(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, alpha: float = 2.0, beta: float = 1.0
) -> Tensor:
    for_it = in_loops(lambda a, w: (a * w).clamp(min=0), lambda b: b.clamp(min=0))
    against_it = in_loops(lambda a, w: (a * w).clamp(max=0), lambda b: b.clamp(max=0))
    parts = [rule(weight, bias, activations, relevance) for rule in (for_it, against_it)]
    return alpha * parts[0] - beta * parts[1]


def by_autograd(change: Callable[..., Tensor], keep_bias: bool = True, **defaults: float) -> Callable[..., Tensor]:
    """Return a rule for a dense layer that changes the weights of a clone, and lets autograd do the third step."""

    def rule(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, **options: float) -> Tensor:
        options = {**defaults, **options}
        epsilon = options.pop("epsilon", 0.0)
        clone = nn.Linear(weight.shape[1], weight.shape[0])
        clone.weight.data = change(weight, **options)
        clone.bias.data = change(bias, **options) if keep_bias else torch.zeros_like(bias)
        a = activations.clone().requires_grad_()
        z = clone(a)
        s = number_by_number(relevance, z.detach(), epsilon)
        (z * s).sum().backward()
        return a.detach() * a.grad

    return rule


def box_by_three_layers(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, low: float = 0.0, high: float = 1.0
) -> Tensor:
    lowest, highest = torch.full_like(activations, low), torch.full_like(activations, high)
    plus, minus = weight.relu(), -(-weight).relu()
    z = activations @ weight.T - lowest @ plus.T - highest @ minus.T
    s = number_by_number(relevance, z, 0.0)
    return activations * (s @ weight) - lowest * (s @ plus) - highest * (s @ minus)


def favoured(w: Tensor, gamma: float) -> Tensor:
    return torch.where(w > 0, (1 + gamma) * w, w)


# -- one layer of any kind ---------------------------------------------------------------------------------------------


def propagate_by_jacobian(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return the relevance from the layer's matrix, image by image."""
    if isinstance(layer, nn.ReLU | nn.Dropout):
        return relevance.clone()
    if isinstance(layer, nn.Flatten):
        return relevance.view_as(activations)
    maps = []
    for a, R in zip(activations, relevance, strict=True):
        W = torch.autograd.functional.jacobian(lambda x: layer(x[None])[0].flatten(), a).reshape(R.numel(), a.numel())
        if isinstance(layer, nn.MaxPool2d):
            maps.append((R.flatten() @ W).view_as(a))
            continue
        b = layer(torch.zeros_like(a)[None])[0].detach().flatten()
        W, x, r, none = W.detach(), a.flatten()[None], R.flatten()[None], torch.zeros_like(b)
        if isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            found = EPSILON_IN_LOOPS(W, none, x, r, epsilon=rule.epsilon if isinstance(rule, Epsilon) else 0.0)
        elif isinstance(rule, Gamma):
            found = GAMMA_IN_LOOPS(W, b, x, r, gamma=rule.gamma)
        elif isinstance(rule, ZPlus):
            found = ZPLUS_IN_LOOPS(W, b, x, r)
        elif isinstance(rule, AlphaBeta):
            found = alpha_beta_in_loops(W, b, x, r, rule.alpha, rule.beta)
        elif isinstance(rule, ZBox):
            found = box_by_three_layers(W, b, x, r, rule.low, rule.high)
        else:
            found = EPSILON_IN_LOOPS(W, b, x, r, epsilon=rule.epsilon)
        maps.append(found.view_as(a))
    return torch.stack(maps)


def propagate_by_zennit(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return zennit's relevance for layers with weights, and ours for z+, gamma and all others."""
    if not isinstance(layer, nn.Linear | nn.Conv2d) or isinstance(rule, Gamma | ZPlus):
        return propagate_by_clone(layer, activations, relevance, rule)

    def unless_zero(z: Tensor) -> Tensor:
        return torch.where(z == 0, torch.inf, z)

    if isinstance(rule, AlphaBeta):
        hook = zennit_rules.AlphaBeta(rule.alpha, rule.beta, stabilizer=unless_zero)
    elif isinstance(rule, ZBox):
        hook = zennit_rules.ZBox(rule.low, rule.high, stabilizer=unless_zero)
    else:
        hook = zennit_rules.Epsilon(epsilon=rule.epsilon if rule.epsilon else unless_zero)
    a = activations.clone().requires_grad_()
    clone = copy.deepcopy(layer)
    handles = hook.copy().register(clone)
    result = torch.autograd.grad(clone(a), a, relevance)[0]
    handles.remove()
    return result


def propagate_by_clone(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return the relevance by deep copies of the layer with other weights, as in the code of the slides."""

    def changed(weight: Callable[[Tensor], Tensor], bias: Callable[[Tensor], Tensor]) -> nn.Module:
        clone = copy.deepcopy(layer)
        with torch.no_grad():
            for name, change in (("weight", weight), ("bias", bias)):
                if getattr(clone, name, None) is not None:
                    getattr(clone, name).copy_(change(getattr(clone, name)))
        return clone

    def steps(clones: list[tuple[nn.Module, Tensor, float]], epsilon: float = 0.0) -> Tensor:
        leaves = [a.clone().requires_grad_() for _, a, _ in clones]
        z = sum(sign * clone(leaf) for (clone, _, sign), leaf in zip(clones, leaves, strict=True))
        s = divide_in_place(relevance, z.detach(), epsilon)
        return sum(a * c for a, c in zip(leaves, torch.autograd.grad((z * s).sum(), leaves), strict=True)).detach()

    if isinstance(layer, nn.ReLU | nn.Dropout):
        return relevance.clone()
    if isinstance(layer, nn.Flatten):
        return relevance.reshape(activations.shape)
    if isinstance(layer, nn.MaxPool2d):
        _, switches = F.max_pool2d(activations, layer.kernel_size, layer.stride, layer.padding, return_indices=True)
        flat = torch.zeros_like(activations).flatten(2)
        return flat.scatter_add_(2, switches.flatten(2), relevance.flatten(2)).view_as(activations)
    if isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
        return steps([(layer, activations, 1.0)], rule.epsilon if isinstance(rule, Epsilon) else 0.0)
    if isinstance(rule, Gamma):
        return steps([(changed(*[lambda w: favoured(w, rule.gamma)] * 2), activations, 1.0)])
    if isinstance(rule, ZPlus):
        return steps([(changed(torch.relu, torch.zeros_like), activations, 1.0)])
    if isinstance(rule, AlphaBeta):
        for_it = steps([(changed(torch.relu, torch.relu), activations, 1.0)])
        against_it = steps([(changed(lambda w: w.clamp(max=0), lambda b: b.clamp(max=0)), activations, 1.0)])
        return rule.alpha * for_it - rule.beta * against_it
    if isinstance(rule, ZBox):
        low, high = torch.full_like(activations, rule.low), torch.full_like(activations, rule.high)
        return steps(
            [
                (changed(lambda w: w, torch.zeros_like), activations, 1.0),
                (changed(torch.relu, torch.zeros_like), low, -1.0),
                (changed(lambda w: w.clamp(max=0), torch.zeros_like), high, -1.0),
            ]
        )
    return steps([(layer, activations, 1.0)], rule.epsilon)


EPSILON_IN_LOOPS = with_default(in_loops(lambda a, w: a * w, lambda b: b), epsilon=1e-6)
GAMMA_IN_LOOPS = with_default(
    in_loops(lambda a, w, gamma: a * favoured(w, gamma), lambda b, gamma: favoured(b, gamma)), gamma=0.25
)
ZPLUS_IN_LOOPS = in_loops(lambda a, w: (a * w).clamp(min=0), zero)
BOX_IN_LOOPS = with_default(
    in_loops(lambda a, w, low, high: a * w - torch.where(w > 0, low, high) * w, zero), low=0.0, high=1.0
)

# -- the whole network -------------------------------------------------------------------------------------------------


def folded(model: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """Return name and layer, batch norm folded into the convolution before it."""
    layers: list[tuple[str, nn.Module]] = []
    for name, layer in model.named_children():
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = (layers[-1][0], fuse_conv_bn_eval(layers[-1][1], layer))
        else:
            layers.append((name, layer))
    return layers


def rule_for(rules: Any, name: str, layer: nn.Module) -> Rule:
    """Return the one rule, or that of the dict; average pooling that it lacks gets LRP-0, the others Epsilon()."""
    if isinstance(rules, Rule):
        return rules
    return rules.get(name, Epsilon(0.0 if isinstance(layer, nn.AvgPool2d | nn.AdaptiveAvgPool2d) else 1e-6))


def lrp_image_by_image(
    model: nn.Sequential,
    inputs: Tensor,
    target: int | Tensor,
    rules: Any = None,
    return_layers: bool = False,
) -> Any:
    """Return LRP with one image at a time, and `propagate_by_clone`."""
    rules = composite(model) if rules is None else rules
    maps: list[dict[str, Tensor]] = []
    for n in range(len(inputs)):
        activations = [inputs[n : n + 1].clone()]
        layers = folded(model)
        with torch.no_grad():
            for _, layer in layers:
                activations.append(layer(activations[-1].clone()))
        index = target if isinstance(target, int) else int(target[n])
        relevance = torch.zeros_like(activations[-1])
        relevance[0, index] = activations[-1][0, index]
        found = {}
        for (name, layer), a in zip(reversed(layers), reversed(activations[:-1]), strict=True):
            found[name] = relevance
            rule = rule_for(rules, name, layer)
            relevance = propagate_by_clone(layer, a, relevance, rule)
        maps.append(found | {"inputs": relevance})
    together = {name: torch.cat([found[name] for found in maps]) for name in maps[0]}
    return (together["inputs"], together) if return_layers else together["inputs"]


def lrp_by_hooks(
    model: nn.Sequential, inputs: Tensor, target: int | Tensor, rules: Any = None, return_layers: bool = False
) -> Any:
    """Return LRP with the activations noted by forward hooks, which are removed."""
    noted: dict[str, Tensor] = {}
    rules = composite(model) if rules is None else rules

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, given: tuple[Tensor]) -> None:
            noted[name] = given[0].detach().clone()

        return hook

    hooks = [layer.register_forward_pre_hook(note(name)) for name, layer in model.named_children()]
    try:
        scores = model(inputs.clone()).detach()
    finally:
        for hook in hooks:
            hook.remove()
    relevance = F.one_hot(torch.as_tensor(target).expand(len(inputs)), scores.shape[1]) * scores
    found = {}
    for name, layer in reversed(folded(model)):
        found[name] = relevance
        rule = rule_for(rules, name, layer)
        relevance = package.propagate(layer, noted[name], relevance, rule)
    found["inputs"] = relevance
    return (relevance, found) if return_layers else relevance


# -- deletion ----------------------------------------------------------------------------------------------------------


def deletion_pixel_by_pixel(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    attributions: Tensor,
    n_steps: int = 8,
    baselines: float = 0.5,
) -> Tensor:
    """Return the curves, image by image, with a list of the pixels in order."""
    curves = []
    for n in range(len(inputs)):
        image = inputs[n].clone()
        height, width = image.shape[1:]
        pixels = [(row, column) for row in range(height) for column in range(width)]
        pixels.sort(key=lambda pixel: -attributions[n, :, pixel[0], pixel[1]].sum().item())
        index = target if isinstance(target, int) else int(target[n])
        curve, gone = [], 0
        for step in range(n_steps + 1):
            while gone < round(step * height * width / n_steps):
                image[:, pixels[gone][0], pixels[gone][1]] = baselines
                gone += 1
            with torch.no_grad():
                curve.append(F.softmax(model(image[None].clone())[0], dim=0)[index])
        curves.append(torch.stack(curve))
    return torch.stack(curves)


def deletion_by_threshold(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    attributions: Tensor,
    n_steps: int = 8,
    baselines: float = 0.5,
) -> Tensor:
    values = attributions.sum(1).flatten(1)
    falling = values.sort(dim=1, descending=True).values
    batches = []
    for step in range(n_steps + 1):
        number = round(step * values.shape[1] / n_steps)
        gone = values >= falling[:, number - 1 : number] if number else torch.zeros_like(values, dtype=torch.bool)
        batches.append(torch.where(gone.view(len(inputs), 1, *inputs.shape[2:]), baselines, inputs))
    with torch.no_grad():
        scores = model(torch.cat(batches))
    classes = torch.as_tensor(target).expand(len(inputs)).repeat(n_steps + 1)
    return scores.softmax(1)[torch.arange(len(scores)), classes].view(n_steps + 1, -1).T


ALTERNATIVES: dict[str, dict[str, Callable[..., Any]]] = {
    "divide": {"in place": divide_in_place, "copysign": divide_by_copysign, "number by number": number_by_number},
    "lrp_epsilon": {"loops": EPSILON_IN_LOOPS, "autograd": by_autograd(lambda w: w, epsilon=1e-6)},
    "lrp_gamma": {"loops": GAMMA_IN_LOOPS, "autograd": by_autograd(favoured, gamma=0.25)},
    "lrp_zplus": {"loops": ZPLUS_IN_LOOPS, "autograd": by_autograd(torch.relu, keep_bias=False)},
    "lrp_alpha_beta": {"loops": alpha_beta_in_loops},
    "lrp_zbox": {"loops": BOX_IN_LOOPS, "three layers": box_by_three_layers},
    "propagate": {"Jacobian": propagate_by_jacobian, "clones": propagate_by_clone, "zennit": propagate_by_zennit},
    "lrp": {"image by image": lrp_image_by_image, "hooks": lrp_by_hooks},
    "conservation": {
        "einsum": lambda relevances: torch.stack([torch.einsum("n...->n", layer) for layer in relevances], dim=1),
        "image by image": lambda relevances: torch.tensor(
            [[layer[n].sum().item() for layer in relevances] for n in range(len(relevances[0]))]
        ),
    },
    "deletion_curve": {"pixel by pixel": deletion_pixel_by_pixel, "threshold": deletion_by_threshold},
}

# -- known mistakes, as other people write them ------------------------------------------------------------------------


def unsigned_by_hand(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, epsilon: float = 1e-6
) -> Tensor:
    z = F.linear(activations, weight, bias) + epsilon
    return activations * torch.where(z == 0, 0, relevance / z).matmul(weight)


def lrp_0_by_hand(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, gamma: float = 0.25) -> Tensor:
    weight, bias = weight + gamma * weight, bias + gamma * bias
    z = F.linear(activations, weight, bias)
    return activations * number_by_number(relevance, z, 0.0).matmul(weight)


def slides_with_bias(weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor) -> Tensor:
    return by_autograd(torch.relu, keep_bias=True)(weight, bias, activations, relevance)


def box_turned(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, low: float = 0.0, high: float = 1.0
) -> Tensor:
    return box_by_three_layers(weight, bias, activations, relevance, high, low)


def beta_by_magnitude(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, alpha: float = 2.0, beta: float = 1.0
) -> Tensor:
    plus = alpha_beta_in_loops(weight, bias, activations, relevance, 1.0, 0.0)
    minus = -alpha_beta_in_loops(weight, bias, activations, relevance, 0.0, 1.0)
    return alpha * plus + beta * minus


def differently(kind: type, other: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return a propagate that does something else for one kind of layer."""
    return lambda layer, activations, relevance, rule: (
        other(layer, activations, relevance, rule)
        if isinstance(layer, kind)
        else propagate_by_clone(layer, activations, relevance, rule)
    )


def relu_by_autograd(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    a = activations.clone().requires_grad_()
    return torch.autograd.grad(layer(a), a, relevance)[0]


def unpooled_evenly(layer: nn.MaxPool2d, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    even = nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
    a = activations.clone().requires_grad_()
    return torch.autograd.grad(even(a), a, relevance)[0]


def without_detach(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return the four steps of every rule with s left in the graph."""

    def parts() -> list[tuple[float, list[tuple[Tensor, Tensor, float]], Tensor]]:
        weight = layer.weight.detach()
        bias = torch.zeros(len(weight)) if layer.bias is None else layer.bias.detach()
        none, a = torch.zeros_like(bias), activations
        if isinstance(rule, Gamma):
            return [(1.0, [(a, favoured(weight, rule.gamma), 1.0)], favoured(bias, rule.gamma))]
        if isinstance(rule, ZPlus):
            return [(1.0, [(a, weight.relu(), 1.0)], none)]
        if isinstance(rule, AlphaBeta):
            negative = weight.clamp(max=0), bias.clamp(max=0)
            return [
                (rule.alpha, [(a, weight.relu(), 1.0)], bias.relu()),
                (-rule.beta, [(a, negative[0], 1.0)], negative[1]),
            ]
        if isinstance(rule, ZBox):
            low, high = torch.full_like(a, rule.low), torch.full_like(a, rule.high)
            return [(1.0, [(a, weight, 1.0), (low, weight.relu(), -1.0), (high, weight.clamp(max=0), -1.0)], none)]
        return [(1.0, [(a, weight, 1.0)], bias)]

    def through(a: Tensor, weight: Tensor) -> Tensor:
        if isinstance(layer, nn.Linear):
            return a @ weight.T
        return F.conv2d(a, weight, None, layer.stride, layer.padding)

    total = torch.zeros_like(activations)
    for factor, triples, bias in parts():
        leaves = [a.clone().requires_grad_() for a, _, _ in triples]
        z = sum(sign * through(leaf, w) for leaf, (_, w, sign) in zip(leaves, triples, strict=True))
        z = z + (bias if z.dim() == 2 else bias[:, None, None])
        below = torch.where(z >= 0, z + rule.epsilon, z - rule.epsilon)
        s = torch.where(below == 0, 0.0, relevance / torch.where(below == 0, 1.0, below))
        (z * s).sum().backward()
        total += factor * sum(leaf.detach() * leaf.grad for leaf in leaves)
    return total


def starting(start: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Any]:
    """Return LRP that starts from `start(scores, classes)`."""

    def answer(
        model: nn.Sequential, inputs: Tensor, target: int | Tensor, rules: Any = None, return_layers: bool = False
    ) -> Any:
        rules = composite(model) if rules is None else rules
        activations, layers = [inputs.clone()], folded(model)
        with torch.no_grad():
            for _, layer in layers:
                activations.append(layer(activations[-1].clone()))
        relevance = start(activations[-1], torch.as_tensor(target).expand(len(inputs)))
        found = {}
        for (name, layer), a in zip(reversed(layers), reversed(activations[:-1]), strict=True):
            found[name] = relevance
            rule = rule_for(rules, name, layer)
            relevance = propagate_by_clone(layer, a, relevance, rule)
        found["inputs"] = relevance
        return (relevance, found) if return_layers else relevance

    return answer


def ones_at(scores: Tensor, classes: Tensor) -> Tensor:
    start = torch.zeros_like(scores)
    start[torch.arange(len(scores)), classes] = 1
    return start


def probabilities_at(scores: Tensor, classes: Tensor) -> Tensor:
    return F.softmax(scores, dim=-1) * ones_at(scores, classes)


def columns_of_all_targets(scores: Tensor, classes: Tensor) -> Tensor:
    start = torch.zeros_like(scores)
    start[:, classes] = scores[:, classes]
    return start


def right_with(change: Callable[..., Any], answer: Callable[..., Any] = lrp_image_by_image) -> Callable[..., Any]:
    """Return `answer` called with what `change(model, inputs, target, rules)` makes of its arguments."""
    return lambda model, inputs, target, rules=None, return_layers=False: answer(
        *change(model, inputs, target, rules), return_layers
    )


def rising(
    model: nn.Module, inputs: Tensor, target: Any, attributions: Tensor, n_steps: int = 8, baselines: float = 0.5
):
    return deletion_pixel_by_pixel(model, inputs, target, -attributions, n_steps, baselines)


def by_magnitude(
    model: nn.Module, inputs: Tensor, target: Any, attributions: Tensor, n_steps: int = 8, baselines: float = 0.5
) -> Tensor:
    sizes = attributions.sum(1, keepdim=True).abs().expand_as(attributions) / attributions.shape[1]
    return deletion_pixel_by_pixel(model, inputs, target, sizes, n_steps, baselines)


def sign_in_place_of_where(guard: bool) -> Callable[..., Tensor]:
    """Return a propagate whose stabiliser is epsilon * torch.sign(z), with or without a guard against 0 / 0."""

    def answer(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
        if (
            not isinstance(layer, nn.Linear | nn.Conv2d | nn.AvgPool2d | nn.AdaptiveAvgPool2d)
            or type(rule) is not Epsilon
        ):
            return propagate_by_clone(layer, activations, relevance, rule)
        a = activations.clone().requires_grad_()
        z = layer(a)
        s = (relevance / (z + rule.epsilon * torch.sign(z))).detach()
        if guard:
            s[z == 0] = 0
        return activations * torch.autograd.grad(z, a, s)[0]

    return answer


def average_pool_with(rule: Rule) -> Callable[..., Tensor]:
    """Return a propagate whose average pooling has one rule for ever."""
    return differently(
        (nn.AvgPool2d, nn.AdaptiveAvgPool2d),
        lambda layer, activations, relevance, _: propagate_by_clone(layer, activations, relevance, rule),
    )


def with_missing(rule: Rule) -> Callable[..., Any]:
    """Return LRP where the layers with weights that a dict lacks get `rule`."""

    def complete(model: nn.Sequential, inputs: Tensor, target: Any, rules: Any) -> tuple[Any, ...]:
        if isinstance(rules, dict):
            weighted = [name for name, layer in model.named_children() if isinstance(layer, nn.Linear | nn.Conv2d)]
            rules = {**dict.fromkeys(weighted, rule), **rules}
        return model, inputs, target, rules

    return right_with(complete)


MISTAKES_CODED_DIFFERENTLY: dict[tuple[str, str], Callable[..., Any]] = {
    ("divide", "sign_of_zero"): lambda relevance, z, epsilon=1e-6: relevance / (z + z.sign() * epsilon),
    ("divide", "floor"): lambda relevance, z, epsilon=1e-6: divide_in_place(
        relevance, torch.maximum(z, z * 0 + epsilon), 0
    ),
    ("divide", "magnitude"): lambda relevance, z, epsilon=1e-6: divide_in_place(relevance, (z * z).sqrt(), epsilon),
    ("divide", "unsigned"): lambda relevance, z, epsilon=1e-6: relevance / (z + epsilon),  # infinite where z is 0
    ("divide", "no_epsilon"): lambda relevance, z, epsilon=1e-6: relevance / z,
    ("divide", "infinite_made_large"): lambda relevance, z, epsilon=1e-6: torch.nan_to_num(
        relevance / (z + epsilon * z.sign())
    ),
    ("lrp_epsilon", "unsigned"): unsigned_by_hand,
    ("lrp_epsilon", "transposed_back"): lambda weight, bias, activations, relevance, epsilon=1e-6: (
        activations * (number_by_number(relevance, F.linear(activations, weight, bias), epsilon) @ weight.T)
    ),
    ("lrp_epsilon", "bias_left_out"): lambda weight, bias, activations, relevance, epsilon=1e-6: EPSILON_IN_LOOPS(
        weight, 0 * bias, activations, relevance, epsilon=epsilon
    ),
    ("lrp_epsilon", "without_activations"): lambda weight, bias, activations, relevance, epsilon=1e-6: (
        number_by_number(relevance, activations @ weight.T + bias, epsilon) @ weight
    ),
    ("lrp_gamma", "lrp_0"): lrp_0_by_hand,
    ("lrp_gamma", "turned_round"): with_default(
        in_loops(lambda a, w, gamma: a * (w.relu() + gamma * w), lambda b, gamma: b.relu() + gamma * b), gamma=0.25
    ),
    ("lrp_gamma", "bias_not_favoured"): with_default(
        in_loops(lambda a, w, gamma: a * favoured(w, gamma), lambda b, gamma: b), gamma=0.25
    ),
    ("lrp_gamma", "negative_favoured"): with_default(
        in_loops(lambda a, w, gamma: -a * favoured(-w, gamma), lambda b, gamma: -favoured(-b, gamma)), gamma=0.25
    ),
    ("lrp_zplus", "positive_bias_kept"): slides_with_bias,
    ("lrp_zplus", "sizes"): by_autograd(torch.abs, keep_bias=False),
    ("lrp_zplus", "negative_weights"): by_autograd(lambda w: w.clamp(max=0), keep_bias=False),
    ("lrp_alpha_beta", "beta_added"): beta_by_magnitude,
    ("lrp_alpha_beta", "without_beta"): lambda weight, bias, activations, relevance, alpha=2.0, beta=1.0: (
        alpha * by_autograd(torch.relu)(weight, bias, activations, relevance)
    ),
    ("lrp_zbox", "bounds_exchanged"): box_turned,
    ("lrp_alpha_beta", "bias_halved"): lambda weight, bias, activations, relevance, alpha=2.0, beta=1.0: (
        alpha * in_loops(lambda a, w: a * w.relu(), lambda b: b / 2)(weight, bias, activations, relevance)
        - beta * in_loops(lambda a, w: a * w.clamp(max=0), lambda b: b / 2)(weight, bias, activations, relevance)
    ),
    ("lrp_zbox", "bias_in_all_products"): with_default(
        in_loops(lambda a, w, low, high: a * w - torch.where(w > 0, low, high) * w, lambda b, low, high: b - b - b),
        low=0.0,
        high=1.0,
    ),
    ("lrp_zbox", "no_box"): lambda weight, bias, activations, relevance, low=0.0, high=1.0: EPSILON_IN_LOOPS(
        weight, 0 * bias, activations, relevance, epsilon=0.0
    ),
    ("propagate", "relu_masks"): differently(nn.ReLU, relu_by_autograd),
    ("propagate", "gradient"): relu_by_autograd,
    ("propagate", "box_is_lrp_0"): lambda layer, activations, relevance, rule: propagate_by_clone(
        layer, activations, relevance, Epsilon(0.0) if isinstance(rule, ZBox) else rule
    ),
    ("propagate", "max_evenly"): differently(nn.MaxPool2d, unpooled_evenly),
    ("propagate", "average_evenly"): differently((nn.AvgPool2d, nn.AdaptiveAvgPool2d), relu_by_autograd),
    ("propagate", "s_not_constant"): differently((nn.Linear, nn.Conv2d), without_detach),
    ("propagate", "zero_always_gives_zero"): sign_in_place_of_where(guard=True),
    ("propagate", "average_without_epsilon"): average_pool_with(Epsilon(0.0)),
    ("propagate", "average_by_small_epsilon"): average_pool_with(Epsilon(1e-6)),
    ("propagate", "box_is_unit"): lambda layer, activations, relevance, rule: propagate_by_clone(
        layer, activations, relevance, ZBox(0.0, 1.0) if isinstance(rule, ZBox) else rule
    ),
    ("lrp", "one"): starting(ones_at),
    ("lrp", "softmax"): starting(probabilities_at),
    ("lrp", "all_classes"): starting(lambda scores, classes: scores.clone()),
    ("lrp", "crossed_targets"): starting(columns_of_all_targets),
    ("lrp", "default_is_epsilon"): right_with(
        lambda model, inputs, target, rules: (model, inputs, target, Epsilon() if rules is None else rules)
    ),
    ("lrp", "missing_layers_by_lrp_0"): with_missing(Epsilon(0.0)),
    ("lrp", "class_zero"): right_with(lambda model, inputs, target, rules: (model, inputs, 0, rules)),
    ("conservation", "mean"): lambda relevances: torch.stack([layer.flatten(1).mean(1) for layer in relevances], 1),
    ("conservation", "layers_first"): lambda relevances: torch.stack([layer.flatten(1).sum(1) for layer in relevances]),
    ("deletion_curve", "ascending"): rising,
    ("deletion_curve", "by_size"): by_magnitude,
    ("deletion_curve", "grey"): lambda model, inputs, target, attributions, n_steps=8, baselines=0.5: (
        deletion_by_threshold(model, inputs, target, attributions, n_steps)
    ),
}

# -- wrong answers that are no known mistake ---------------------------------------------------------------------------


def hook_left(model: nn.Sequential, inputs: Tensor, target: Any, rules: Any = None, return_layers: bool = False) -> Any:
    """Return LRP with a hook that is removed only if nothing goes wrong."""
    hook = model[0].register_forward_hook(lambda module, given, output: None)
    result = lrp_image_by_image(model, inputs, target, rules, return_layers)
    hook.remove()
    return result


def hook_always_left(
    model: nn.Sequential, inputs: Tensor, target: Any, rules: Any = None, return_layers: bool = False
) -> Any:
    model[0].register_forward_hook(lambda module, given, output: None)
    return lrp_image_by_image(model, inputs, target, rules, return_layers)


def inputs_overwritten(
    model: nn.Sequential, inputs: Tensor, target: Any, rules: Any = None, return_layers: bool = False
) -> Any:
    result = lrp_image_by_image(model, inputs, target, rules, return_layers)
    inputs.mul_(0.5)
    return result


def train_mode_left(
    model: nn.Sequential, inputs: Tensor, target: Any, rules: Any = None, return_layers: bool = False
) -> Any:
    result = lrp_image_by_image(model, inputs, target, rules, return_layers)
    model.train()
    return result


def weights_clamped(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return the z+ rule with the caller's own weights made positive, and never put back."""
    if isinstance(rule, ZPlus) and isinstance(layer, nn.Linear | nn.Conv2d):
        result = propagate_by_clone(layer, activations, relevance, rule)
        layer.weight.data.clamp_(min=0)
        return result
    return propagate_by_clone(layer, activations, relevance, rule)


def mapped(answer: Callable[..., Any], change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    """Return the right answer, changed at its end."""
    return lambda *arguments, **options: change(answer(*arguments, **options))


def layers_reversed(relevance: Any) -> Any:
    return relevance[1] if isinstance(relevance, tuple) else relevance


def padded_box(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return the rule of the box with bounds a little too wide."""
    wider = ZBox(rule.low - 0.5, rule.high + 0.5) if isinstance(rule, ZBox) else rule
    return propagate_by_clone(layer, activations, relevance, wider)


def alpha_beta_without_alpha(
    weight: Tensor, bias: Tensor, activations: Tensor, relevance: Tensor, alpha: float = 2.0, beta: float = 1.0
) -> Tensor:
    """All of R, and not alpha R, where nothing speaks against an output."""
    plus, minus = weight.clamp(min=0), weight.clamp(max=0)
    for_it = activations @ plus.T + bias.clamp(min=0)
    against = activations @ minus.T + bias.clamp(max=0)
    share = relevance * torch.where(against == 0, 1.0, alpha)
    s, t = (
        torch.where(z == 0, 0.0, r / torch.where(z == 0, 1.0, z)) for r, z in ((share, for_it), (relevance, against))
    )
    return activations * (s @ plus - beta * t @ minus)


def max_pool_by_division(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """a times the gradient of R / z, which hands nothing down in a window of zeros."""
    if not isinstance(layer, nn.MaxPool2d):
        return package.propagate(layer, activations, relevance, rule)
    a = activations.clone().requires_grad_()
    z = layer(a)
    s = torch.where(z == 0, 0.0, relevance / torch.where(z == 0, 1.0, z)).detach()
    return activations * torch.autograd.grad(z, a, s)[0]


def convolved_again(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule, option: str) -> Tensor:
    """Return the epsilon rule of a convolution by `F.conv2d`, with one of its options alone."""
    if not isinstance(layer, nn.Conv2d) or not isinstance(rule, Epsilon):
        return propagate_by_clone(layer, activations, relevance, rule)
    a = activations.clone().requires_grad_()
    z = F.conv2d(a, layer.weight, layer.bias, layer.stride, layer.padding, **{option: getattr(layer, option)})
    s = divide_in_place(relevance, z.detach(), rule.epsilon)
    return activations * torch.autograd.grad(z, a, s)[0]


REJECTED: dict[str, tuple[str, Callable[..., Any], str]] = {
    "alpha only where something speaks against": ("lrp_alpha_beta", alpha_beta_without_alpha, "numbers are not"),
    "max pooling by division": ("propagate", max_pool_by_division, "numbers are not"),
    "numbers that grow with R squared": (
        "divide",
        lambda relevance, z, epsilon=1e-6: divide_in_place(relevance * relevance.abs(), z, epsilon),
        "numbers are not",
    ),
    "half of epsilon": (
        "divide",
        lambda relevance, z, epsilon=1e-6: divide_in_place(relevance, z, epsilon / 2),
        "numbers are not",
    ),
    "relevance overwritten": (
        "divide",
        lambda relevance, z, epsilon=1e-6: relevance.mul_(divide_in_place(torch.ones_like(z), z, epsilon)),
        "changed `relevance` itself, in place",
    ),
    "no default": (
        "divide",
        lambda relevance, z, epsilon: divide_in_place(relevance, z, epsilon),
        r"called as divide\(relevance, z\)",
    ),
    "epsilon squared": (
        "lrp_epsilon",
        lambda weight, bias, activations, relevance, epsilon=1e-6: EPSILON_IN_LOOPS(
            weight, bias, activations, relevance, epsilon=epsilon**2 / 2
        ),
        "numbers are not",
    ),
    "weights of the wrong side": (
        "lrp_epsilon",
        lambda weight, bias, activations, relevance, epsilon=1e-6: (activations @ weight + bias) * relevance,
        "numbers are not|shapes cannot be multiplied",
    ),
    "bias twice": (
        "lrp_epsilon",
        lambda weight, bias, activations, relevance, epsilon=1e-6: EPSILON_IN_LOOPS(
            weight, 2 * bias, activations, relevance, epsilon=epsilon
        ),
        "numbers are not",
    ),
    "another default of epsilon": (
        "lrp_epsilon",
        with_default(EPSILON_IN_LOOPS, epsilon=0.1),
        "no epsilon given: .*numbers are not",
    ),
    "another default of gamma": (
        "lrp_gamma",
        with_default(GAMMA_IN_LOOPS, gamma=0.5),
        "no gamma given: .*numbers are not",
    ),
    "gamma squared": (
        "lrp_gamma",
        lambda weight, bias, activations, relevance, gamma=0.25: GAMMA_IN_LOOPS(
            weight, bias, activations, relevance, gamma=gamma**2
        ),
        "numbers are not",
    ),
    "gamma without one": (
        "lrp_gamma",
        with_default(
            in_loops(lambda a, w, gamma: a * torch.where(w > 0, gamma * w, w), lambda b, gamma: b), gamma=0.25
        ),
        "numbers are not",
    ),
    "inputs normalised": (
        "lrp_zplus",
        mapped(ZPLUS_IN_LOOPS, lambda relevance: relevance / relevance.abs().max()),
        "numbers are not",
    ),
    "one and a half times": (
        "lrp_zplus",
        mapped(ZPLUS_IN_LOOPS, lambda relevance: 1.5 * relevance),
        "numbers are not.*This must hold: nothing is lost",
    ),
    "alpha squared": (
        "lrp_alpha_beta",
        lambda weight, bias, activations, relevance, alpha=2.0, beta=1.0: alpha_beta_in_loops(
            weight, bias, activations, relevance, alpha**2, beta
        ),
        "numbers are not",
    ),
    "middle of the box": (
        "lrp_zbox",
        lambda weight, bias, activations, relevance, low=0.0, high=1.0: box_by_three_layers(
            weight, bias, activations, relevance, (low + high) / 2, (low + high) / 2
        ),
        "numbers are not",
    ),
    "box too wide": ("propagate", padded_box, "numbers are not"),
    "weights left positive": ("propagate", weights_clamped, "changed the weights of `layer`"),
    "flatten forgotten": (
        "propagate",
        differently(nn.Flatten, lambda layer, activations, relevance, rule: relevance.clone()),
        r"a flatten layer: the shape of your answer is \(2, 24\)",
    ),
    "winners twice": (
        "propagate",
        differently(
            nn.MaxPool2d,
            lambda layer, activations, relevance, rule: 2 * propagate_by_clone(layer, activations, relevance, rule),
        ),
        "max pooling, ReLU, dropout and flatten lose nothing",
    ),
    "pool of 2 whatever its size": (
        "propagate",
        differently(
            nn.MaxPool2d,
            lambda layer, activations, relevance, rule: propagate_by_clone(
                nn.MaxPool2d(2), activations, relevance[..., :2, :3], rule
            ),
        ),
        "max pooling with overlapping windows: .*numbers are not",
    ),
    "groups left out": (
        "propagate",
        lambda layer, activations, relevance, rule: convolved_again(layer, activations, relevance, rule, "dilation"),
        "a convolution with dilation and groups: .*expected input",
    ),
    "dilation left out": (
        "propagate",
        lambda layer, activations, relevance, rule: convolved_again(layer, activations, relevance, rule, "groups"),
        "a convolution with dilation and groups: .*size of tensor",
    ),
    "None for z+ in a dense layer": (
        "propagate",
        lambda layer, activations, relevance, rule: (
            None
            if isinstance(layer, nn.Linear) and isinstance(rule, ZPlus)
            else propagate_by_clone(layer, activations, relevance, rule)
        ),
        r"a dense layer, z\+: you returned None",
    ),
    "None for dropout": (
        "propagate",
        differently(nn.Dropout, lambda layer, activations, relevance, rule: None),
        "dropout in eval mode: you returned None",
    ),
    "hook left after an error": ("lrp", hook_left, "wrong number of channels.* a hook is still on layer '0'"),
    "hook left": ("lrp", hook_always_left, "a hook is still on layer '0'"),
    "inputs changed": ("lrp", inputs_overwritten, "changed `inputs` itself, in place"),
    "train mode": ("lrp", train_mode_left, "another mode"),
    "half of the score": (
        "lrp",
        starting(lambda scores, classes: ones_at(scores, classes) * scores / 2),
        "numbers are not",
    ),
    "channels added up": (
        "lrp",
        lambda *arguments, **options: (
            torch.as_tensor(lrp_image_by_image(*arguments)).sum(1, keepdim=True).expand(*arguments[1].shape) * 0.9
        ),
        "numbers are not",
    ),
    "layers only": ("lrp", mapped(lrp_image_by_image, layers_reversed), "a tuple of 2 values is asked for"),
    "first layer skipped": (
        "conservation",
        lambda relevances: (
            torch.stack([layer.flatten(1).sum(1) for layer in relevances[1:]], 1) if relevances[1:] else 0
        ),
        "the shape of your answer",
    ),
    "root of the squares": (
        "conservation",
        lambda relevances: torch.stack([layer.flatten(1).norm(dim=1) for layer in relevances], 1),
        "numbers are not",
    ),
    "two points more": (
        "deletion_curve",
        lambda model, inputs, target, attributions, n_steps=8, baselines=0.5: deletion_pixel_by_pixel(
            model, inputs, target, attributions, n_steps + 2, baselines
        ),
        "the shape of your answer",
    ),
    "smallest channel": (
        "deletion_curve",
        lambda model, inputs, target, attributions, n_steps=8, baselines=0.5: deletion_pixel_by_pixel(
            model, inputs, target, attributions.amin(1, keepdim=True).expand_as(attributions), n_steps, baselines
        ),
        "numbers are not",
    ),
    "image overwritten": (
        "deletion_curve",
        lambda model, inputs, target, attributions, n_steps=8, baselines=0.5: (
            deletion_pixel_by_pixel(model, inputs, target, attributions, n_steps, baselines),
            inputs.fill_(baselines),
        )[0],
        "changed `inputs` itself, in place",
    ),
}
