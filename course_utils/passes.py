"""Forward and backward passes that leave the model as it was: what every method of the course is built from.

A method asks for a derivative, looks at a layer or lets a layer compute something else for one pass. Each of these is
here once; hooks and replacements are gone when the block is left, also when the model raises, and no parameter's
`.grad` is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from tqdm.auto import tqdm

from course_utils.checking import class_scores, find_layer

Layer = str | nn.Module


def in_steps(n_steps: int, per_pass: int, progress: bool, name: str) -> Iterator[range]:
    """Yield the step numbers 0 ... n_steps - 1 in groups for one pass, with a progress bar if asked for."""
    with tqdm(total=n_steps, desc=name, disable=not progress) as bar:
        for start in range(0, n_steps, per_pass):
            steps = range(start, min(start + per_pass, n_steps))
            yield steps
            bar.update(len(steps))


@contextmanager
def recording() -> Iterator[None]:
    """Record operations for the backward pass, whatever the caller has switched off."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


def leaf(tensor: Tensor) -> Tensor:
    """Copy a tensor and ask for derivatives with respect to the copy."""
    return tensor.detach().clone().requires_grad_()


def backward(values: Tensor, variable: Tensor, output_gradient: Tensor | None = None, again: bool = False) -> Tensor:
    """Return d(sum values)/d variable without touching the `.grad` of any parameter."""
    if not values.requires_grad:
        raise ValueError("model's scores do not depend on the inputs by differentiable operations (.detach(), argmax?)")
    if output_gradient is None:
        output_gradient = torch.ones_like(values)
    return torch.autograd.grad(values, variable, output_gradient, retain_graph=again, materialize_grads=True)[0]


def value_and_gradient(model: nn.Module, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores y (N,) and dy/dI (N, C, H, W) by one forward and one backward pass."""
    with recording():
        inputs = leaf(inputs)
        values = class_scores(model(inputs.clone()), target)  # the clone is what an in-place first layer may overwrite
        return values.detach(), backward(values, inputs)


@contextmanager
def forward_replaced(model: nn.Module, replacements: dict[type, Callable[[nn.Module, Tensor], Tensor]]) -> Iterator:
    """Let modules compute something else until the block is left, also by an error.

    Args:
        model: whose modules.
        replacements: for a type (subclasses do not count), the function of (module, inputs) that takes its place.
    """
    before = []
    try:
        for module in model.modules():
            if type(module) in replacements:
                before.append((module, module.__dict__.get("forward")))
                module.__dict__["forward"] = _bound(replacements[type(module)], module)
        yield
    finally:
        for module, forward in before:
            del module.__dict__["forward"]
            if forward is not None:
                module.__dict__["forward"] = forward


def _bound(function: Callable[[nn.Module, Tensor], Tensor], module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda input: function(module, input)


def own_forward(module: nn.Module, inputs: Tensor) -> Tensor:
    """Return what the module itself computes, whatever takes its forward's place; `inputs` stay as they are."""
    return type(module).forward(module, inputs.clone() if getattr(module, "inplace", False) else inputs)


def save(ctx: FunctionCtx, module: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Save module and inputs for the backward pass, and `finish`."""
    ctx.module = module
    ctx.save_for_backward(inputs.clone())
    return finish(ctx, module, inputs, outputs)


def finish(ctx: FunctionCtx, module: nn.Module, inputs: Tensor, outputs: Tensor) -> Tensor:
    """Return the outputs of a forward pass; an in-place module overwrites its argument with them, as it always does."""
    if getattr(module, "inplace", False):
        ctx.mark_dirty(inputs)
        return inputs.copy_(outputs)
    return outputs


# Operations that are linear, move values around, or pick some of them: their derivative is what every method uses.
LINEAR = frozenset(
    re.findall(
        r"\w+",
        """
        AccumulateGrad AdaptiveAvgPool2D Add Addmm Alias AsStrided AvgPool2D Bmm Cat Clone ConstantPadNd Convolution
        Copy CopySlices CudnnBatchNorm CudnnConvolution Div Dot Expand Flatten Gather Index IndexSelect Linear Matmul
        Mean MiopenBatchNorm MiopenConvolution MkldnnConvolution Mm Mul Mv NativeBatchNorm Neg Permute PixelShuffle
        ReflectionPad2D Repeat ReplicationPad2D Reshape ReshapeAlias Roll Rsub Select Slice Split Squeeze Stack Sub Sum
        T ToCopy Transpose Unbind Unsqueeze UnsafeSplit UnsafeView UpsampleBilinear2D UpsampleNearest2D View
        """,
    )
)
_PRODUCTS = frozenset(["Addmm", "Bmm", "Div", "Dot", "Linear", "Matmul", "Mm", "Mul", "Mv"])
# Linear only if what they multiply or pick by is the same for every image.
_BY_A_CONSTANT = frozenset(["Bmm", "Div", "Dot", "Gather", "Index", "IndexSelect", "Matmul", "Mm", "Mul", "Mv"])
# Those that hand every value on unchanged, once.
MOVES = frozenset(["AccumulateGrad", "Alias", "Clone", "Reshape", "ReshapeAlias", "Squeeze", "UnsafeView", "View"])


def known_pass(
    method: str,
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    inputs: Tensor,
    known: frozenset[str],
    advice: str,
) -> tuple[Tensor, Tensor]:
    """Return forward(inputs), and refuse operations on the way from the inputs that the method has no rule for.

    Args:
        method: its name, for the message.
        forward: maps images to what is explained (a tensor) and what it is explained by (handed on as it is).
        inputs: leaf (N, C, H, W).
        known: kinds of operations, as autograd names them (without "Backward0"), that the method can go through. A
            product of two activations is never one of them, nor is one by a mask or scale that depends on the image;
            two more passes, at large noise and its negative, show those, if the model multiplies or picks at all.
        advice: how to write the model so that the method can explain it.

    Raises:
        ValueError: an operation of another kind, by its name.
    """

    def refuse(what: str) -> None:
        raise ValueError(f"{method} has no rule for an operation of this model, {what}: {advice}")

    explained, variable = forward(inputs)
    nodes = _way(explained, inputs)
    for node in nodes:
        if _kind(node) not in known:
            refuse(repr(node.name()))
        if _kind(node) in _PRODUCTS and sum(below in nodes for below, _ in node.next_functions) > 1:
            refuse(f"the product of two activations ({node.name()})")
        if getattr(node, "_saved_training", False):
            refuse(f"a norm by the image's own statistics, as of InstanceNorm ({node.name()})")
    if any(_kind(node) in _BY_A_CONSTANT for node in nodes):
        here = _slopes(explained, inputs, nodes)
        generator = torch.Generator().manual_seed(0)
        noise = torch.randn(inputs.shape, generator=generator) + torch.randn(
            *inputs.shape[:2], 1, 1, generator=generator
        )
        for size in (10, -10):
            image = leaf((size * noise).to(inputs))
            at_noise, _ = forward(image)
            others = _way(at_noise, image)
            if [node.name() for node in nodes] != [node.name() for node in others]:
                refuse("a choice of layers that depends on the image")
            for node, slope, other in zip(nodes, here, _slopes(at_noise, image, others), strict=True):
                if not _same(slope, other):
                    refuse(f"a product or choice by what depends on the image ({node.name()})")
    return explained, variable


def _kind(node: torch.autograd.graph.Node) -> str:
    return re.sub(r"^torch::autograd::|Backward\d*$", "", node.name())


def _way(values: object, inputs: Tensor) -> list[torch.autograd.graph.Node]:
    """Return the operations on the way from `values` to `inputs`: a parameter may be computed as it likes."""
    if not isinstance(values, Tensor) or values.grad_fn is None:
        return []
    users: dict[object, list] = {values.grad_fn: []}
    waiting = [values.grad_fn]
    while waiting:
        node = waiting.pop()
        for below, _ in node.next_functions:
            if below is not None:
                if below not in users:
                    users[below] = []
                    waiting.append(below)
                users[below].append(node)
    start = torch.autograd.graph.get_gradient_edge(inputs).node
    found = {start: None}
    waiting = [start]
    while waiting:
        for node in users.get(waiting.pop(), ()):
            if node not in found:
                found[node] = None
                waiting.append(node)
    return list(found)


def _slopes(values: Tensor, inputs: Tensor, nodes: list[torch.autograd.graph.Node]) -> list[list[Tensor]]:
    """Return what each operation makes of one and the same signal on its way back to the inputs.

    Of an operation that is linear it is the same for all images; of the others nothing is returned.
    """
    slopes: dict[object, list[Tensor]] = {node: [] for node in nodes}

    def signal(gradients: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
        return tuple(g if g is None else torch.linspace(-1, 1, g.numel()).to(g).view_as(g) for g in gradients)

    def note(node: torch.autograd.graph.Node) -> Callable[[tuple, tuple], None]:
        def hook(gradients: tuple[Tensor | None, ...], _: tuple) -> None:
            edges = zip(node.next_functions, gradients, strict=True)
            slopes[node] = [g for (below, _), g in edges if below in slopes and g is not None]

        return hook

    handles = []
    for node in nodes:
        if _kind(node) in LINEAR and _kind(node) != "AccumulateGrad":
            handles += [node.register_prehook(signal), node.register_hook(note(node))]
    try:
        backward(values, inputs, again=True)
    finally:
        for handle in handles:
            handle.remove()
    return list(slopes.values())


def _same(here: list[Tensor], there: list[Tensor]) -> bool:
    """Say whether two lists of tensors are equal up to rounding."""
    return len(here) == len(there) and all(
        a.shape == b.shape and bool(((a - b).abs() <= 1e-5 * a.abs().max()).all())
        for a, b in zip(here, there, strict=True)
    )


@contextmanager
def layer_output(name: str, module: nn.Module, replacement: Tensor | None = None) -> Iterator[list[Tensor]]:
    """Collect the outputs of a layer, or put `replacement` in their place, until the block is left.

    What goes on through the network is a copy, so that an in-place ReLU behind the layer does not overwrite it.
    """
    outputs: list[Tensor] = []

    def hook(_: nn.Module, __: tuple, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            raise ValueError(
                f"layer {name!r} returns {type(output).__name__}, no single tensor: choose a layer inside it"
            )
        outputs.append(output if replacement is None else replacement)
        return outputs[-1].clone()

    handle = module.register_forward_hook(hook)
    try:
        yield outputs
    finally:
        handle.remove()


def only_output(outputs: list[Tensor], name: str) -> Tensor:
    """Return the single output of a layer, and refuse a layer that is called never or several times."""
    if len(outputs) != 1:
        raise ValueError(
            f"layer {name!r} is called {len(outputs)} times in one forward pass, but must be called once: "
            "choose another layer"
        )
    return outputs[0]


def activation_of(model: nn.Module, inputs: Tensor, layer: Layer) -> Tensor:
    """Return the output of a layer, without recording it."""
    name, module = find_layer(model, layer)
    with torch.no_grad(), layer_output(name, module) as outputs:
        model(inputs.clone())
    return only_output(outputs, name).detach()


def activation_and_gradient(model: nn.Module, inputs: Tensor, target: Tensor, layer: Layer) -> tuple[Tensor, Tensor]:
    """Return a layer's activation A and dy/dA by one forward and one backward pass."""
    name, module = find_layer(model, layer)
    with recording():
        with layer_output(name, module) as outputs:
            values = class_scores(model(leaf(inputs).clone()), target)
        activation = only_output(outputs, name)
        return activation.detach(), backward(values, activation)


def scores_from_layer(model: nn.Module, inputs: Tensor, target: Tensor, layer: Layer, activation: Tensor) -> Tensor:
    """Return the scores when the layer's output is `activation` (k N, ...), k versions for each of the N images."""
    name, module = find_layer(model, layer)
    versions = len(activation) // len(inputs)
    with layer_output(name, module, activation) as outputs:
        values = class_scores(model(inputs.repeat(versions, 1, 1, 1)), target.repeat(versions))
    only_output(outputs, name)
    return values
