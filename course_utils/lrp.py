"""Layer-wise relevance propagation (LRP): a class score, shared out backward from layer to layer down to the pixels.

Every rule is the same four steps. With the activations a_j that enter a layer and the relevance R_k that leaves it,

    z_k = sum_j a_j w_jk      forward
    s_k = R_k / z_k           divide
    c_j = sum_k w_jk s_k      backward: c is the gradient of sum_k z_k(a) s_k with respect to a, s held constant
    R_j = a_j c_j             multiply

and the rules differ only in what they put in place of a and w. A bias is the weight of the formal unit a_0 = 1: it
takes its share of the relevance like any other input, and that share goes no further down (it is absorbed).

Sources: Bach et al. 2015, "On pixel-wise explanations for non-linear classifier decisions by layer-wise relevance
propagation" (epsilon, alpha-beta); Montavon et al. 2017, "Explaining nonlinear classification decisions with deep
Taylor decomposition" (z+, zB); Montavon et al. 2019, "Layer-wise relevance propagation: an overview" (gamma, the
composite).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torch.overrides import TorchFunctionMode

from course_utils.checking import (
    check_dtype,
    check_inputs,
    check_model,
    check_not_negative,
    check_target,
    class_scores,
    find_layer,
)
from course_utils.models import Normalize
from course_utils.passes import (
    MOVES,
    Layer,
    backward,
    finish,
    forward_replaced,
    known_pass,
    leaf,
    own_forward,
    recording,
)

# ---------------------------------------------------------------------------------------------------------------
# The rules: what each puts in place of a and w
# ---------------------------------------------------------------------------------------------------------------

Change = Callable[[Tensor], Tensor]


def _same(values: Tensor) -> Tensor:
    return values


def _positive(values: Tensor) -> Tensor:
    return values.clamp(min=0)


def _negative(values: Tensor) -> Tensor:
    return values.clamp(max=0)


@dataclass(frozen=True)
class Share:
    """A share `factor` of the relevance, handed out in proportion to sum over `terms` of a' w', divided by their sum z.

    Args:
        factor: the share; those of a rule sum to 1.
        terms: pairs (what to do with a, what to do with w).
        bias: what to do with the bias, the weight of the formal unit; None leaves it out.
    """

    factor: float
    terms: tuple[tuple[Change, Change], ...]
    bias: Change | None


class Rule:
    """A rule of LRP: :attr:`shares` say how a layer's relevance is handed out; `epsilon` stabilises the division."""

    epsilon: float = 0.0

    @property
    def shares(self) -> tuple[Share, ...]:
        """The shares that the relevance is split into."""
        raise NotImplementedError


@dataclass(frozen=True)
class Epsilon(Rule):
    """R_j = sum_k a_j w_jk / (z_k + epsilon sign z_k) R_k, where z_k = sum_{0,j} a_j w_jk and sign 0 = 1.

    With epsilon = 0 it is LRP-0, where 0 / 0 = 0. What epsilon and the bias take is absorbed.

    Args:
        epsilon: at least 0, in units of z. Source: Bach et al. 2015, equations 58 to 61.
    """

    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        check_not_negative(self.epsilon, "epsilon")

    @property
    def shares(self) -> tuple[Share, ...]:
        """All of it in proportion to a w."""
        return (Share(1.0, ((_same, _same),), _same),)


@dataclass(frozen=True)
class Gamma(Rule):
    """R_j = sum_k a_j (w_jk + gamma w_jk^+) / sum_{0,j} a_j (w_jk + gamma w_jk^+) R_k: favours what speaks for it.

    It is meant for activations of at least 0, as after a ReLU, where its z_k is at least the layer's own z_k.

    Args:
        gamma: at least 0; 0 is LRP-0, and a large one comes near to z+. Source: Montavon et al. 2019.
    """

    gamma: float = 0.25

    def __post_init__(self) -> None:
        check_not_negative(self.gamma, "gamma")

    def _favour(self, weight: Tensor) -> Tensor:
        return weight + self.gamma * weight.clamp(min=0)

    @property
    def shares(self) -> tuple[Share, ...]:
        """All of it in proportion to a (w + gamma w^+)."""
        return (Share(1.0, ((_same, self._favour),), self._favour),)


@dataclass(frozen=True)
class ZPlus(Rule):
    """R_j = sum_k (a_j w_jk)^+ / sum_j (a_j w_jk)^+ R_k, without the bias; for a >= 0 this is a_j w_jk^+.

    Nothing is absorbed, except by an output that no input speaks for. Source: Montavon et al. 2017.
    """

    @property
    def shares(self) -> tuple[Share, ...]:
        """All of it in proportion to the positive a w."""
        return (Share(1.0, ((_positive, _positive), (_negative, _negative)), None),)


@dataclass(frozen=True)
class AlphaBeta(Rule):
    """R_j = sum_k (alpha (a_j w_jk)^+ / z_k^+ - beta (a_j w_jk)^- / z_k^-) R_k.

    The bias counts in z^+ or in z^-, by its sign.

    Args:
        alpha: at least 1.
        beta: alpha - 1, so that the relevance is kept. Source: Bach et al. 2015, equation 60.
    """

    alpha: float = 2.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_not_negative(self.beta, "beta")
        if abs(check_not_negative(self.alpha, "alpha") - self.beta - 1) > 1e-6:
            raise ValueError(
                f"alpha - beta must be 1, so that the relevance is kept, got alpha {self.alpha} and beta {self.beta}"
            )

    @property
    def shares(self) -> tuple[Share, ...]:
        """The share alpha by the positive a w, and -beta by the negative ones."""
        return (
            Share(self.alpha, ((_positive, _positive), (_negative, _negative)), _positive),
            Share(-self.beta, ((_positive, _negative), (_negative, _positive)), _negative),
        )


@dataclass(frozen=True)
class ZBox(Rule):
    """R_j = sum_k (a_j w_jk - l_j w_jk^+ - h_j w_jk^-) / sum_j (...) R_k: zB, for pixels that lie in a box [l, h].

    The formal unit is always 1, so that its box is [1, 1] and the bias takes nothing.

    Args:
        low: l, a number or a tensor that expands to the inputs, as (1, C, 1, 1).
        high: h, the same. Source: Montavon et al. 2017.
    """

    low: float | Tensor = 0.0
    high: float | Tensor = 1.0

    def __post_init__(self) -> None:
        if not bool((torch.as_tensor(self.low) <= torch.as_tensor(self.high)).all()):
            raise ValueError(f"low must be at most high, got low {self.low} and high {self.high}")

    @property
    def shares(self) -> tuple[Share, ...]:
        """All of it in proportion to a w - l w^+ - h w^-."""

        def constant(value: float | Tensor) -> Change:
            return lambda inputs: torch.as_tensor(value, dtype=inputs.dtype, device=inputs.device).expand_as(inputs)

        low, high = constant(self.low), constant(self.high)
        return (
            Share(1.0, ((_same, _same), (low, lambda w: -w.clamp(min=0)), (high, lambda w: -w.clamp(max=0))), None),
        )


# ---------------------------------------------------------------------------------------------------------------
# One layer
# ---------------------------------------------------------------------------------------------------------------

_WEIGHTED = (nn.Conv2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
_WINNERS = (nn.MaxPool2d, nn.AdaptiveMaxPool2d)
_PASSES = (nn.ReLU, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Identity, Normalize)
_MOVERS = (nn.Flatten, nn.Unflatten)
_KNOWN = _WEIGHTED + _NORMS + _AVERAGES + _WINNERS + _PASSES + _MOVERS


def propagate(layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule) -> Tensor:
    """Return the relevance of a layer's inputs: forward, divide, backward, multiply.

    Convolutions, dense layers and batch norm share out by the rule. The other layers need none: average pooling shares
    out in proportion to a, max pooling hands all to the winner, ReLU and dropout hand on, flatten puts back in place.

    Args:
        layer: one module, in eval mode.
        activations: a, what enters the layer, (N, ...).
        relevance: R_k, the shape of the layer's output.
        rule: Epsilon, Gamma, ZPlus, AlphaBeta or ZBox; an Epsilon also stabilises average pooling.

    Returns:
        R_j, the shape of `activations`.

    Raises:
        TypeError: not a module, a tensor or a rule.
        ValueError: a kind of layer without a rule, or a shape that does not fit, by name.

    Source: Montavon et al. 2019, section 10.2; a bias as the formal unit.
    """
    _check_layer(layer)
    _check_rule(rule, "rule")
    for name, values in (("activations", activations), ("relevance", relevance)):
        if not isinstance(values, Tensor) or not values.is_floating_point():
            raise TypeError(f"{name} must be a float tensor, got {getattr(values, 'dtype', type(values).__name__)}")
    with torch.no_grad():
        outputs = own_forward(layer, activations)
        if relevance.shape != outputs.shape:
            raise ValueError(
                f"relevance must have the shape of the layer's output, {tuple(outputs.shape)}, got "
                f"{tuple(relevance.shape)}"
            )
        return _propagate(layer, activations, relevance, rule, outputs)


def _propagate(
    layer: nn.Module, activations: Tensor, relevance: Tensor, rule: Rule, outputs: Tensor | None = None
) -> Tensor:
    """Return R_j; the layer's outputs, where they are known, spare the forward step of a rule that changes nothing."""
    if isinstance(layer, _PASSES):
        return relevance
    if isinstance(layer, _WINNERS + _MOVERS):  # the gradient sends each value back to where it came from
        return _gradient(lambda inputs: own_forward(layer, inputs), activations, relevance)
    if isinstance(layer, _AVERAGES):
        rule = Epsilon(rule.epsilon)
    affine, weight, bias = _affine(layer)
    total: Tensor | float = 0.0
    for share in rule.shares:
        share_bias = None if bias is None or share.bias is None else share.bias(bias)
        changed = [(change(activations), change_weight(weight)) for change, change_weight in share.terms]
        # Nothing negative comes out of a ReLU, and a black pixel is 0: there is nothing to compute then.
        terms = [(a, w) for n, (a, w) in enumerate(changed) if n == 0 or a.any()]
        if isinstance(rule, Epsilon) and outputs is not None:
            z = outputs
        else:
            z = sum(affine(a, w, None if n else share_bias) for n, (a, w) in enumerate(terms))
        s = _divide(relevance, z, rule.epsilon)
        total = total + share.factor * sum(a * _pulled_back(layer, affine, a, w, s) for a, w in terms)
    return total


def _gradient(function: Callable[[Tensor], Tensor], inputs: Tensor, output_gradient: Tensor) -> Tensor:
    with recording():
        inputs = leaf(inputs)
        return backward(function(inputs), inputs, output_gradient)


def _pulled_back(
    layer: nn.Module, affine: Callable[[Tensor, Tensor, None], Tensor], a: Tensor, weight: Tensor, s: Tensor
) -> Tensor:
    """Return c, the gradient of sum_k z_k(a) s_k with respect to a: the layer's weights, the other way round."""
    if isinstance(layer, nn.Linear):
        return s @ weight
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
        return torch.nn.grad.conv2d_input(a.shape, weight, s, layer.stride, layer.padding, layer.dilation, layer.groups)
    return _gradient(lambda inputs: affine(inputs, weight, None), a, s)


def _divide(relevance: Tensor, z: Tensor, epsilon: float) -> Tensor:
    """Return R / (z + epsilon sign z), with sign 0 = 1, and 0 where nothing is to be divided by."""
    if epsilon:
        signed = torch.copysign(z.new_tensor(epsilon), z + 0.0)  # 0 is added to make 0 of -0
        return relevance / signed.add_(z)
    return (relevance / z).masked_fill_(z == 0, 0)


def _affine(layer: nn.Module) -> tuple[Callable[[Tensor, Tensor, Tensor | None], Tensor], Tensor, Tensor | None]:
    """Return a layer as a function of inputs, weight and bias, with its weight and its bias."""
    if isinstance(layer, _AVERAGES):
        return lambda a, weight, bias: weight * own_forward(layer, a), torch.ones(()), None
    if isinstance(layer, _NORMS):
        scale = (layer.running_var + layer.eps).rsqrt()
        shift = -layer.running_mean * scale
        if layer.affine:
            scale, shift = scale * layer.weight.detach(), shift * layer.weight.detach() + layer.bias.detach()

        def normalized(a: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            by_channel = (1, -1) + (1,) * (a.dim() - 2)
            outputs = a * weight.view(by_channel)
            return outputs if bias is None else outputs + bias.view(by_channel)

        return normalized, scale, shift
    bias = None if layer.bias is None else layer.bias.detach()
    return layer._conv_forward if isinstance(layer, nn.Conv2d) else F.linear, layer.weight.detach(), bias


def _check_layer(layer: nn.Module) -> None:
    if not isinstance(layer, nn.Module):
        raise TypeError(f"layer must be a torch.nn.Module, got {type(layer).__name__}")
    if type(layer) not in _KNOWN:
        kinds = ", ".join(kind.__name__ for kind in _KNOWN)
        raise ValueError(f"LRP has no rule for a layer of kind {type(layer).__name__}; it has for: {kinds}")
    check_model(layer)


def _check_rule(rule: Rule, name: str) -> None:
    if not isinstance(rule, Rule):
        raise TypeError(f"{name} must be Epsilon(), Gamma(), ZPlus(), AlphaBeta() or ZBox(), got {rule!r}")


# ---------------------------------------------------------------------------------------------------------------
# The whole network: every layer gets another backward pass, and autograd walks through them
# ---------------------------------------------------------------------------------------------------------------


def composite(
    model: nn.Module,
    lower: Rule | None = None,
    middle: Rule | None = None,
    upper: Rule | None = None,
    first: Rule | None = None,
) -> dict[str, Rule]:
    """Return a rule for every layer with weights: which rule suits which layer.

    Args:
        model: nn.Module.
        lower: for the lower half of the convolutions, default Gamma(0.25): less noise.
        middle: for the other convolutions, default Epsilon(1e-6).
        upper: for the dense layers, default Epsilon(0), which is LRP-0: true to the function.
        first: for the first layer, which sees pixels, default ZBox for pixels in [0, 1]; behind a
            `course_utils.models.Normalize` its box is that of the normalised pixels.

    Returns:
        layer name -> rule, in the order in which the model's layers are defined.

    Raises:
        TypeError: no module, or no rule.

    Source: Montavon et al. 2019, section 10.3.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    chosen = {
        "lower": Gamma() if lower is None else lower,
        "middle": Epsilon() if middle is None else middle,
        "upper": Epsilon(0.0) if upper is None else upper,
        "first": _pixel_box(model) if first is None else first,
    }
    for name, rule in chosen.items():
        _check_rule(rule, name)
    weighted = [(name, module) for name, module in model.named_modules() if isinstance(module, _WEIGHTED)]
    n_convolutions = sum(isinstance(module, nn.Conv2d) for _, module in weighted)
    rules, seen = {}, 0
    for name, module in weighted:
        place = "upper"
        if isinstance(module, nn.Conv2d):
            seen += 1
            place = "lower" if 2 * seen <= n_convolutions else "middle"
        rules[name] = chosen[place if rules else "first"]
    return rules


def _pixel_box(model: nn.Module) -> ZBox:
    for module in model.modules():
        if isinstance(module, Normalize):
            black, white = (module(torch.full_like(module.mean, value))[None] for value in (0.0, 1.0))
            return ZBox(black, white)
    return ZBox(0.0, 1.0)


def lrp(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    rules: Rule | Mapping[str, Rule] | None = None,
    return_layers: bool = False,
) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
    """Return the relevance of every pixel for the target's score, by layer-wise relevance propagation.

    Batch norm right behind a convolution or a dense layer is folded into it. A residual sum shares out in proportion to
    its two summands.

    Args:
        model: nn.Module in eval mode, (N, C, H, W) -> scores (N, K).
        inputs: (N, C, H, W) in [0, 1].
        target: int, or LongTensor (N,).
        rules: one rule for all layers; or layer name -> rule, where layers without one get Epsilon() (average pooling
            and sums Epsilon(0)); by default `composite(model)`.
        return_layers: whether to return the relevance of every layer, too.

    Returns:
        (N, C, H, W), signed, in units of the score. With `return_layers` also a dict: "inputs", then the name of every
        layer -> relevance of its outputs (N, ...), in forward order ("NAME (call 2)" where a layer is used again). A
        convolution whose batch norm is folded appears under the name of its batch norm.

    Raises:
        TypeError, ValueError: a bad argument, a rule for a layer that does not exist or that needs none, or an
            operation of the model that LRP has no rule for, by name.

    Source: Bach et al. 2015; the slides' f(x) = ... = sum_d R_d^(l) = ... = sum_d R_d^(1).
    """
    check_inputs(inputs)
    target = check_target(target, len(inputs))
    check_model(model)
    check_dtype(model, inputs)
    relevances = _relevances(model, inputs, target, _rule_of(model, rules))
    return (relevances["inputs"], relevances) if return_layers else relevances["inputs"]


def layer_lrp(
    model: nn.Module,
    inputs: Tensor,
    target: int | Tensor,
    layer: Layer,
    rules: Rule | Mapping[str, Rule] | None = None,
) -> Tensor:
    """Return the relevance of a layer's outputs.

    Args:
        model, inputs, target, rules: as in `lrp`.
        layer: name of the layer, or the module.

    Returns:
        the shape of the layer's output, in units of the score.

    Raises:
        TypeError, ValueError: as in `lrp`; a layer that is used never or several times, or whose batch norm is folded.
    """
    name, _ = find_layer(model, layer)
    _, relevances = lrp(model, inputs, target, rules, return_layers=True)
    if name not in relevances or f"{name} (call 2)" in relevances:
        have = ", ".join(map(repr, relevances))
        raise ValueError(f"layer {name!r} has no relevance of its own (unused, reused, or folded); these have: {have}")
    return relevances[name]


def conservation(relevances: Mapping[str, Tensor] | Sequence[Tensor]) -> Tensor:
    """Return the sum of the relevance in each layer: where it changes, relevance is lost or made.

    Args:
        relevances: L tensors (N, ...), or the dict that `lrp` returns.

    Returns:
        (N, L), in units of the score, in the order given.

    Raises:
        TypeError, ValueError: no tensors, none at all, or not for the same number of images.

    Source: Bach et al. 2015, equation 2.
    """
    layers = list(relevances.values() if isinstance(relevances, Mapping) else relevances)
    if not layers:
        raise ValueError("relevances is empty: give at least one layer's relevance (N, ...)")
    for values in layers:
        if not isinstance(values, Tensor):
            raise TypeError(f"relevances must hold tensors (N, ...), got {type(values).__name__}")
        if values.dim() < 1 or len(values) != len(layers[0]):
            raise ValueError(
                f"relevances must all be of the same {len(layers[0])} images, got shape {tuple(values.shape)}"
            )
    return torch.stack([values.flatten(1).sum(1) if values.dim() > 1 else values for values in layers], dim=1)


class _ByRule(Function):
    """A layer, forward as it is (or by `compute`, a shorter way), with `_propagate` as its backward pass."""

    @staticmethod
    def forward(
        ctx, inputs: Tensor, layer: nn.Module, rule: Rule, compute: Callable[[], Tensor] | None = None
    ) -> Tensor:
        ctx.layer, ctx.rule = layer, rule
        outputs = own_forward(layer, inputs) if compute is None else compute()
        if not isinstance(layer, _PASSES):  # copies, which nothing in place overwrites
            ctx.save_for_backward(inputs.clone(), outputs.clone() if isinstance(rule, Epsilon) else None)
        return finish(ctx, layer, inputs, outputs)

    @staticmethod
    def backward(ctx, relevance: Tensor) -> tuple[Tensor, None, None, None]:
        inputs, outputs = ctx.saved_tensors or (None, None)
        return _propagate(ctx.layer, inputs, relevance, ctx.rule, outputs), None, None, None


class _ResidualSum(Function):
    """a + b, whose relevance is shared out in proportion to a and b."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor, inplace: bool) -> Tensor:
        ctx.save_for_backward(a.clone(), b.clone())
        if inplace:
            ctx.mark_dirty(a)
            return a.add_(b)
        return a + b

    @staticmethod
    def backward(ctx, relevance: Tensor) -> tuple[Tensor, Tensor, None]:
        a, b = ctx.saved_tensors
        s = _divide(relevance, a + b, 0.0)
        return a * s, b * s, None


class _Sums(TorchFunctionMode):
    """Sees sums of two activations, and ReLUs that are functions, while a model is called."""

    def __torch_function__(self, function: Callable, types: object, args: tuple = (), kwargs: dict | None = None):
        kwargs = kwargs or {}
        if torch.is_grad_enabled() and args and _is_activation(args[0]):
            if function in _ADDITIONS and not kwargs and _is_activation(args[1]) and args[0].shape == args[1].shape:
                return _ResidualSum.apply(*args, function == torch.Tensor.add_)
            if function in _RELUS:
                inplace = function in _RELUS[3:] or kwargs.get("inplace", False) or (len(args) > 1 and args[1])
                return _ByRule.apply(args[0], nn.ReLU(inplace), Epsilon(0.0))
        return function(*args, **kwargs)


_ADDITIONS = (torch.add, torch.Tensor.add, torch.Tensor.__add__, torch.Tensor.add_)  # += is add_
_RELUS = (F.relu, torch.relu, torch.Tensor.relu, F.relu_, torch.relu_, torch.Tensor.relu_)  # three work in place


def _is_activation(value: object) -> bool:
    return isinstance(value, Tensor) and value.grad_fn is not None


@contextmanager
def _backward_by_rules(model: nn.Module, rule_of: Callable[[nn.Module], Rule]) -> Iterator[None]:
    """Let every layer of the model hand its relevance down by its rule until the block is left."""
    # What a layer with weights made (and whether it was overwritten since), the layer, and what it made it of.
    made: dict[int, tuple[Tensor, int, nn.Module, Tensor]] = {}

    def by_rule(module: nn.Module, inputs: Tensor) -> Tensor:
        outputs = _ByRule.apply(inputs, module, rule_of(module))
        if isinstance(module, _WEIGHTED):
            made[id(outputs)] = outputs, outputs._version, module, inputs
        return outputs

    def folded(module: nn.Module, inputs: Tensor) -> Tensor:
        _, version, below, source = made.get(id(inputs), (None, None, None, None))
        if version != inputs._version:
            return by_rule(module, inputs)
        fuse = fuse_conv_bn_eval if isinstance(below, nn.Conv2d) else fuse_linear_bn_eval
        return _ByRule.apply(source, fuse(below, module), rule_of(below), lambda: own_forward(module, inputs))

    replacements = dict.fromkeys((*_WEIGHTED, *_AVERAGES, nn.ReLU, Normalize), by_rule) | dict.fromkeys(_NORMS, folded)
    with forward_replaced(model, replacements), _Sums():
        yield


_BY_RULE = MOVES | {"_ByRule", "_ResidualSum", "MaxPool2DWithIndices", "AdaptiveMaxPool2D", "Permute", "Transpose"}
_ADVICE = (
    "LRP walks over nn.Conv2d, nn.Linear, nn.BatchNorm2d, nn.ReLU, nn.Dropout, nn.MaxPool2d, nn.AvgPool2d, "
    "nn.AdaptiveAvgPool2d, nn.Flatten and sums of two activations; write the model with these"
)


def _relevances(
    model: nn.Module, inputs: Tensor, target: Tensor, rule_of: Callable[[nn.Module], Rule]
) -> dict[str, Tensor]:
    """Return "inputs" and the name of every layer -> its relevance, in forward order."""

    def forward(images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        outputs: dict[str, Tensor] = {"inputs": images}

        def note(name: str) -> Callable[[nn.Module, tuple, object], None]:
            def hook(module: nn.Module, _: tuple, output: object) -> None:
                calls = sum(key == name or key.startswith(f"{name} (call ") for key in outputs)
                if isinstance(output, Tensor):
                    outputs[f"{name} (call {calls + 1})" if calls else name] = output

            return hook

        with ExitStack() as stack:
            stack.enter_context(_backward_by_rules(model, rule_of))
            for name, module in model.named_modules():
                if name and not any(module.children()):
                    stack.callback(module.register_forward_hook(note(name)).remove)
            return model(images.clone()), outputs

    with recording():
        scores, outputs = known_pass("lrp", forward, leaf(inputs), _BY_RULE, _ADVICE)
        values = class_scores(scores, target)
        found = torch.autograd.grad(values, list(outputs.values()), values.detach(), allow_unused=True)
    return {name: values for name, values in zip(outputs, found, strict=True) if values is not None}


def _rule_of(model: nn.Module, rules: Rule | Mapping[str, Rule] | None) -> Callable[[nn.Module], Rule]:
    """Return the function that gives the rule of a module."""
    if isinstance(rules, Rule):
        return lambda module: rules
    rules = composite(model) if rules is None else rules
    if not isinstance(rules, Mapping):
        raise TypeError(f"rules must be a rule, a dict layer name -> rule, or None, got {type(rules).__name__}")
    by_module: dict[nn.Module, Rule] = {}
    for name, rule in rules.items():
        _, module = find_layer(model, name)
        _check_rule(rule, f"rules[{name!r}]")
        if not isinstance(module, _WEIGHTED + _NORMS + _AVERAGES):
            raise ValueError(
                f"rules[{name!r}]: a layer of kind {type(module).__name__} takes no rule; convolutions, dense layers, "
                "batch norm and average pooling do"
            )
        by_module[module] = rule
    return lambda module: by_module.get(module, Epsilon(0.0) if isinstance(module, _AVERAGES) else Epsilon())
