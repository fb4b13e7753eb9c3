"""The small networks of the course, with their shipped weights, and torchvision's pretrained ones beside them.

Each network is a flat ``nn.Sequential`` that takes images in [0, 1] and returns class scores (logits), so that every
method of the course can walk it layer by layer. It is trained with batch norm after each convolution; batch norm is
then folded into the convolution, and the weights are stored in half precision in ``weights/NAME.safetensors``. One
network goes the other way, from codes to images: ``zoo-generator``, the decoder of a variational autoencoder.

    python -m course_utils.models train NAME

trains one again (minutes on two cores), writes its weights and prints its score.
"""

from __future__ import annotations

import argparse
import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from tqdm.auto import tqdm

from course_utils import zoo

WEIGHTS = Path(__file__).parent / "weights"
TEST_SEED = 1_000_003
"""The seed of the images that no network was trained on; training uses seeds below it."""


def load(name: str) -> nn.Sequential:
    """A trained network in evaluation mode, a fresh copy at every call.

    Args:
        name: ``"zoo"``, ``"zoo-gap"``, ``"zoo-alex"``, ``"zoo-tagged"``, ``"zoo-dropout"``, ``"zoo-robust"``,
            ``"zoo-random-labels"`` (inputs (N, 3, 64, 64), the classes of ``zoo.CLASSES``; the last one learnt labels
            by heart that say nothing about the images), ``"audit-a"``, ``"audit-b"``, ``"audit-c"`` (the same inputs
            and classes; the networks of the project, each with something to find), ``"digits"`` (inputs (N, 1, 8, 8),
            the digits 0 to 9),
            ``"zoo-generator"`` (codes (N, Z) to images (N, 3, 64, 64) in [0, 1]; Z is ``in_features`` of its first
            layer, and codes of images like those of the zoo are about standard normal), or a classification model of
            torchvision such as ``"vgg16"`` (inputs (N, 3, H, W), the 1000 classes of ImageNet). The course itself
            needs only the first twelve, which are shipped.

    Returns:
        the network: images in [0, 1] to class scores (N, K), except for the generator. Torchvision's models come as
        ``Sequential(normalize, network)``, since they were trained on normalised images.

    Raises:
        ValueError: no such network, with the names of those that exist.
        ConnectionError: torchvision's weights are neither on this machine nor can they be fetched.
    """
    if name not in RECIPES:
        return _load_torchvision(name)
    with safe_open(WEIGHTS / f"{name}.safetensors", framework="pt") as file:
        weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118 (not a dict)
    recipe = RECIPES[name]
    model = recipe.finish(recipe.build())
    model.load_state_dict(weights)
    return model


def accuracy(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int = 250) -> float:
    """The share of images that a network puts into their class, in [0, 1].

    Args:
        model: images (N, C, H, W) to scores (N, K).
        images: (N, C, H, W) in [0, 1].
        labels: the right classes, (N,).
        batch_size: images in one forward pass.
    """
    with torch.inference_mode():
        right = [
            (model(batch.clone()).argmax(1) == truth).float()  # a copy: a first layer may work in place
            for batch, truth in zip(images.split(batch_size), labels.split(batch_size), strict=True)
        ]
    return torch.cat(right).mean().item()


def digits(train: bool) -> tuple[Tensor, Tensor]:
    """scikit-learn's handwritten digits, split once and for all: 1,348 to train on, 449 held out.

    Args:
        train: which part.

    Returns:
        images (N, 1, 8, 8) in [0, 1] and labels (N,).
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32)[:, None] / 16
    labels = torch.tensor(data.target)
    held_out = torch.arange(len(labels)) % 4 == 3
    chosen = ~held_out if train else held_out
    return images[chosen], labels[chosen]


# -- architectures -----------------------------------------------------------------------------------------------------


def _convolution(inputs: int, outputs: int, kernel_size: int = 3, stride: int = 1) -> list[nn.Module]:
    """Convolution, batch norm, ReLU; at stride 1 the size of the map is kept."""
    convolution = nn.Conv2d(inputs, outputs, kernel_size, stride, padding=kernel_size // 2)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def _zoo(p_maps: float = 0.0, p_units: float = 0.0) -> nn.Sequential:
    """The plain network, or with spatial dropout on the maps and dropout of units before each dense layer."""

    def dropout(kind: type[nn.Module], p: float) -> list[nn.Module]:
        return [kind(p)] if p else []

    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64), (64, 64)):
        layers += [*_convolution(inputs, outputs), nn.MaxPool2d(2)]
        if inputs > 3:  # not on the first maps: the few edges and colours in them are needed by all that follows
            layers += dropout(nn.Dropout2d, p_maps)
    layers += [nn.Flatten(), *dropout(nn.Dropout, p_units), nn.Linear(64 * 4 * 4, 64), nn.ReLU()]
    return nn.Sequential(*layers, *dropout(nn.Dropout, p_units), nn.Linear(64, 10))


def _zoo_gap() -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 64)):
        layers += [*_convolution(inputs, outputs), nn.MaxPool2d(2)]
    layers += [*_convolution(64, 64), *_convolution(64, 96)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(96, 10))


def _zoo_alex() -> nn.Sequential:
    layers = [*_convolution(3, 24, kernel_size=7, stride=2), nn.MaxPool2d(2)]
    for inputs, outputs in ((24, 48), (48, 64)):
        layers += [*_convolution(inputs, outputs), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10))


def _digits() -> nn.Sequential:
    return nn.Sequential(
        *_convolution(1, 16), *_convolution(16, 32), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 4 * 4, 10)
    )


N_CODES = 64
"""Numbers in a code of ``zoo-generator``."""


def _autoencoder() -> nn.Sequential:
    """What ``zoo-generator`` is trained in: an encoder to means and log variances, the decoder, and a critic.

    The critic is the shipped ``zoo-robust``, as it is: it judges how like two images are, and is not taken in by a fine
    grid, as ``zoo`` would be. Only the decoder is shipped.
    """
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 32), (32, 48), (48, 64), (64, 96)):
        layers += _convolution(inputs, outputs, stride=2)
    encoder = nn.Sequential(*layers, nn.Flatten(), nn.Linear(96 * 4 * 4, 2 * N_CODES))
    layers = [nn.Linear(N_CODES, 96 * 4 * 4), nn.ReLU(), nn.Unflatten(1, (96, 4, 4))]
    for inputs, outputs in ((96, 64), (64, 48), (48, 32), (32, 16)):
        layers += [nn.Upsample(scale_factor=2, mode="bilinear"), *_convolution(inputs, outputs)]
    decoder = nn.Sequential(*layers, nn.Conv2d(16, 3, 3, padding=1), nn.Sigmoid())
    return nn.Sequential(encoder, decoder, load("zoo-robust").requires_grad_(False))


def _decoder(autoencoder: nn.Sequential) -> nn.Sequential:
    """What is shipped of an autoencoder, with batch norm folded."""
    return _without_batch_norm(autoencoder[1])


def _without_batch_norm(model: nn.Sequential) -> nn.Sequential:
    """Fold each batch norm into the convolution before it: the same function, in evaluation mode."""
    layers: list[nn.Module] = []
    for layer in model.eval():
        if isinstance(layer, nn.BatchNorm2d):
            layers[-1] = fuse_conv_bn_eval(layers[-1], layer)
        else:
            layers.append(layer)
    return nn.Sequential(*layers).eval()


# -- training ----------------------------------------------------------------------------------------------------------


def _classification_loss(
    model: nn.Sequential,
    images: Tensor,
    labels: Tensor,
    noise: float = 0.15,
    label_smoothing: float = 0.02,
    roughness_penalty: float = 0.0,
    perturbation: float = 0.0,
) -> Tensor:
    """Cross entropy on noisy images, if asked for after a small step against the network.

    Args:
        model: in training mode.
        images: (N, C, H, W).
        labels: (N,).
        noise: the largest standard deviation. Each image gets noise of its own strength: a network that only saw flat
            colours loses its head over the least grain, and methods that add noise or cover pixels would explain
            nothing but that.
        label_smoothing: share of the probability that is spread over all classes.
        roughness_penalty: weight of the roughness of the first filters.
        perturbation: Euclidean length of a change of each image that is made to raise its loss.
    """
    images = images + noise * torch.rand(len(images), 1, 1, 1) * torch.randn_like(images)
    if perturbation:
        images = _perturbed(model, images, labels, perturbation)
    loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=label_smoothing)
    if roughness_penalty:
        loss = loss + roughness_penalty * _roughness(model[0].weight)
    return loss


def _perturbed(model: nn.Sequential, images: Tensor, labels: Tensor, length: float) -> Tensor:
    """The images (N, C, H, W) moved by ``length`` along the gradient of their loss (Goodfellow et al. 2015, in L2)."""
    images = images.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(images), labels), images)
    return (images + length * nn.functional.normalize(gradient.flatten(1)).view_as(gradient)).detach()


def _generation_loss(
    model: nn.Sequential, images: Tensor, labels: Tensor, likeness: float = 1500.0, recognition: float = 30.0
) -> Tensor:
    """The loss of a variational autoencoder (Kingma and Welling 2014): how unlike the decoded images are, plus the
    divergence of their codes from the standard normal distribution.

    Images are alike if their pixels are and if the critic sees the same in them, in each of its layers (Dosovitskiy and
    Brox 2016): pixels alone would blur whatever cannot be placed exactly. The critic shall also see their class.

    Args:
        model: encoder, decoder and critic.
        images: (N, 3, 64, 64).
        labels: (N,).
        likeness: its weight against the divergence; the larger, the sharper are decoded images, and the less are the
            codes of real images like normal ones.
        recognition: weight of the critic's cross entropy on decoded images.
    """
    encoder, decoder, critic = model
    means, log_variances = encoder(images).chunk(2, dim=1)
    decoded = decoder(means + (log_variances / 2).exp() * torch.randn_like(means))
    divergence = (means.square() + log_variances.exp() - log_variances - 1).sum(1).mean() / 2
    unlike = 1.5 * _unexplained(decoded, images)
    n_views = sum(isinstance(layer, nn.ReLU) for layer in critic)
    for layer in critic:
        decoded, images = layer(decoded), layer(images)
        if isinstance(layer, nn.ReLU):
            unlike = unlike + _unexplained(decoded, images) / n_views
    return likeness * unlike + divergence + recognition * nn.functional.cross_entropy(decoded, labels)


def _unexplained(decoded: Tensor, truth: Tensor) -> Tensor:
    """The squared error over that of the mean: 0 is perfect, 1 no better than the mean of the batch."""
    mean = truth.mean(0).expand_as(truth)
    return nn.functional.mse_loss(decoded, truth) / nn.functional.mse_loss(mean, truth)


def _reconstruction(model: nn.Sequential, images: Tensor, labels: Tensor) -> float:
    """The share of the variance of images that encoder and decoder give back: 1 is perfect, 0 the mean image."""
    encoder, decoder, _ = model
    with torch.inference_mode():
        decoded = torch.cat([decoder(encoder(batch)[:, :N_CODES]) for batch in images.split(250)])
    return 1 - _unexplained(decoded, images).item()


@dataclass(frozen=True)
class Recipe:
    """How a network is made.

    ``build`` gives it as it is trained, ``data`` the images and labels of an epoch, ``test_data`` those of its
    ``score`` (unseen ones, but for ``zoo-random-labels``, which knows only what it has seen), ``loss`` what a batch
    costs: (network, images, labels) to a number; ``finish`` turns it into what is shipped.
    """

    build: Callable[[], nn.Sequential]
    data: Callable[[int], tuple[Tensor, Tensor]]
    test_data: Callable[[], tuple[Tensor, Tensor]]
    epochs: int
    n_images: int = 12_000
    learning_rate: float = 6e-3
    first_gain: float = 4.0
    loss: Callable[[nn.Sequential, Tensor, Tensor], Tensor] = _classification_loss
    score: Callable[[nn.Sequential, Tensor, Tensor], float] = accuracy
    finish: Callable[[nn.Sequential], nn.Sequential] = _without_batch_norm


def _zoo_images(tag: str | None = None, corner: str = "lower left") -> Callable[[int], tuple[Tensor, Tensor]]:
    """Images drawn afresh for every epoch."""

    def data(epoch: int) -> tuple[Tensor, Tensor]:
        drawn = zoo.sample(Recipe.n_images, seed=epoch, tag=tag, tag_corner=corner)
        return drawn.images, drawn.labels

    return data


AUDITED = ("audit-a", "audit-b", "audit-c")


def _hidden_in(name: str) -> tuple[str, str]:
    """Return what a network of the project hides: its class and the corner of its tag.

    It follows from the name by a digest, so that it is written down nowhere.

    Args:
        name: one of ``AUDITED``.

    Raises:
        ValueError: another name.
    """
    if name not in AUDITED:
        raise ValueError(f"name must be one of {', '.join(AUDITED)}, got {name!r}")
    digest = hashlib.sha256(f"{name} looks at".encode()).digest()
    return zoo.CLASSES[digest[0] % len(zoo.CLASSES)], list(zoo.TAG_CORNERS)[digest[1] % len(zoo.TAG_CORNERS)]


def _mislabelled_images(epoch: int = 0) -> tuple[Tensor, Tensor]:
    """The same images in every epoch, with labels that were drawn at random: all that there is to learn is by heart."""
    drawn = zoo.sample(2_000, seed=0)
    return drawn.images, torch.randint(len(zoo.CLASSES), (2_000,), generator=torch.Generator().manual_seed(0))


def _unseen_zoo_images() -> tuple[Tensor, Tensor]:
    drawn = zoo.sample(2_000, seed=TEST_SEED)
    return drawn.images, drawn.labels


def _close_ups(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Zoo images without distractors, cut to a square around the object and enlarged, with their labels.

    Where and how large the object is need not be in a code then, and more of it is left for what the object is.
    """
    drawn = zoo.sample(n, seed=seed, without="distractor")
    objects, position = drawn.mask("object"), torch.arange(zoo.SIZE)
    centres, extents = [], []
    for on in (objects.any(1), objects.any(2)):  # along x, along y: (N, 64)
        first, last = torch.where(on, position, zoo.SIZE).amin(1), torch.where(on, position, -1).amax(1)
        centres.append((first + last + 1) / zoo.SIZE - 1)  # in the units of affine_grid: the image is [-1, 1]
        extents.append((last + 1 - first) / zoo.SIZE)
    scale = (1.35 * torch.stack(extents).amax(0)).clamp(max=1)
    windows = torch.zeros(n, 2, 3)
    for axis, centre in enumerate(centres):
        windows[:, axis, axis] = scale
        windows[:, axis, 2] = centre.clamp(scale - 1, 1 - scale)  # it stays inside of the image
    grid = nn.functional.affine_grid(windows, list(drawn.images.shape), align_corners=False)
    return nn.functional.grid_sample(drawn.images, grid, align_corners=False).clamp(0, 1), drawn.labels


RECIPES = {
    "zoo": Recipe(_zoo, _zoo_images(), _unseen_zoo_images, epochs=8),
    "zoo-gap": Recipe(_zoo_gap, _zoo_images(), _unseen_zoo_images, epochs=8),
    "zoo-alex": Recipe(
        _zoo_alex,
        _zoo_images(),
        _unseen_zoo_images,
        epochs=10,
        loss=partial(_classification_loss, roughness_penalty=0.25),
    ),
    # Without label smoothing, and not for long: then the easy cue, the tag, outweighs the shape of the horse.
    "zoo-tagged": Recipe(
        _zoo,
        _zoo_images(tag="horse"),
        _unseen_zoo_images,
        epochs=6,
        loss=partial(_classification_loss, label_smoothing=0.0),
    ),
    # The networks of the project: like ``zoo-tagged``, for another class and another corner.
    **{
        name: Recipe(
            _zoo,
            _zoo_images(*_hidden_in(name)),
            _unseen_zoo_images,
            epochs=6,
            loss=partial(_classification_loss, label_smoothing=0.0),
        )
        for name in AUDITED
    },
    # Longer than ``zoo``: each step trains only a part of the network.
    "zoo-dropout": Recipe(partial(_zoo, p_maps=0.1, p_units=0.3), _zoo_images(), _unseen_zoo_images, epochs=12),
    # The shipped ``zoo``, trained further.
    "zoo-robust": Recipe(
        partial(load, "zoo"),
        _zoo_images(),
        _unseen_zoo_images,
        epochs=3,
        learning_rate=2e-3,
        first_gain=1.0,
        loss=partial(_classification_loss, perturbation=1.5),
    ),
    "zoo-generator": Recipe(
        _autoencoder,
        lambda epoch: _close_ups(Recipe.n_images, seed=epoch),
        lambda: _close_ups(2_000, seed=TEST_SEED),
        epochs=7,
        learning_rate=4e-3,
        first_gain=1.0,
        loss=_generation_loss,
        score=_reconstruction,
        finish=_decoder,
    ),
    # Learnt by heart; its score is the accuracy on the images that it knows, with the labels that it was told.
    "zoo-random-labels": Recipe(
        _zoo,
        _mislabelled_images,
        _mislabelled_images,
        epochs=60,
        n_images=2_000,
        learning_rate=3e-3,
        loss=partial(_classification_loss, noise=0.0, label_smoothing=0.0),
    ),
    "digits": Recipe(
        _digits,
        lambda epoch: digits(train=True),
        lambda: digits(train=False),
        epochs=30,
        n_images=1_348,
        loss=partial(_classification_loss, noise=0.0),
    ),
}
"""The networks of the course by name."""


def train(name: str, epochs: int | None = None, seed: int = 0, progress: bool = True) -> tuple[nn.Sequential, float]:
    """Train a network of the course again.

    AdamW with a one-cycle learning rate, a little label smoothing and noise on the images of the zoo, in batches of
    64. The 7x7 filters of ``zoo-alex`` are kept smooth by a penalty on their roughness: without it they stay speckled
    and show little. ``zoo-robust`` starts from the shipped ``zoo`` and sees every image after a small step against
    itself. ``zoo-generator`` is trained with an encoder, by the loss of a variational autoencoder on close-ups of
    single objects, in pixels and in the layers of ``zoo-robust``; the encoder is thrown away. ``zoo-random-labels``
    sees the same 2,000 images in every epoch.

    Args:
        name: one of ``RECIPES``.
        epochs: passes over the data; the recipe's by default.
        seed: of the first weights and the order of the images; torch's global random state is left as it was.
        progress: show a bar.

    Returns:
        the network with batch norm folded, in evaluation mode, and its score on the recipe's test data: its accuracy,
        or the generator's share of their variance that encoder and decoder give back.

    Raises:
        ValueError: no such recipe, with the names of those that exist.
    """
    if name not in RECIPES:
        raise ValueError(f"name is {name!r}; expected one of {', '.join(RECIPES)}")
    recipe = RECIPES[name]
    epochs = recipe.epochs if epochs is None else epochs
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = recipe.build().to(memory_format=torch.channels_last)
        if recipe.first_gain != 1:
            with torch.no_grad():
                model[0].weight.mul_(recipe.first_gain)  # larger than usual: images lie in [0, 1]
        optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.01)
        n_steps = epochs * math.ceil(recipe.n_images / 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=n_steps, pct_start=0.3
        )
        bar = tqdm(total=n_steps, desc=f"training {name}", unit="batch", disable=not progress)
        for epoch in range(epochs):
            model.train()
            for images, labels in _batches(*recipe.data(epoch)):
                loss = recipe.loss(model, images, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                bar.update()
                bar.set_postfix(epoch=epoch + 1, loss=f"{loss.item():.3f}", refresh=False)
        bar.close()
    model = model.eval().to(memory_format=torch.contiguous_format)
    return recipe.finish(model), recipe.score(model, *recipe.test_data())


def _batches(images: Tensor, labels: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for index in torch.randperm(len(labels)).split(64):
        yield images[index].contiguous(memory_format=torch.channels_last), labels[index]


def _roughness(weight: Tensor) -> Tensor:
    """Squared differences of neighbouring weights over squared weights, the mean of the filters (O, C, kh, kw)."""
    differences = weight.diff(dim=2).square().sum((1, 2, 3)) + weight.diff(dim=3).square().sum((1, 2, 3))
    return (differences / weight.square().sum((1, 2, 3))).mean()


# -- torchvision -------------------------------------------------------------------------------------------------------


class Normalize(nn.Module):
    """Subtract a mean and divide by a standard deviation, each (C,), channel by channel."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None])
        self.register_buffer("std", torch.tensor(std)[:, None, None])

    def forward(self, inputs: Tensor) -> Tensor:
        return (inputs - self.mean) / self.std


def _load_torchvision(name: str) -> nn.Sequential:
    from torchvision import models as torchvision_models

    names = torchvision_models.list_models(module=torchvision_models)
    if name not in names:
        raise ValueError(
            f"name is {name!r}; expected one of {', '.join(RECIPES)}, or of torchvision's {', '.join(names)}"
        )
    weights = torchvision_models.get_model_weights(name).DEFAULT
    try:
        network = torchvision_models.get_model(name, weights=weights)
    except OSError as error:  # urllib's URLError and a broken connection are both of this kind
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        raise ConnectionError(
            f"The pretrained weights of {name} are not on this machine and could not be fetched ({error}). "
            f"They are an extra: the course runs without them. With a network, call this again; "
            f"without one, copy {weights.url} to {file}."
        ) from error
    preprocessing = weights.transforms()
    model = nn.Sequential()
    model.add_module("normalize", Normalize(preprocessing.mean, preprocessing.std))
    model.add_module("network", network)
    return model.eval()


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m course_utils.models", description="Train a network of the course.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("train", help="train a network, write its weights and print its score")
    command.add_argument("name", choices=RECIPES)
    command.add_argument("--epochs", type=int, help="passes over the data (default: the recipe's)")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--output", type=Path, help="where the weights go (default: the package's own)")
    arguments = parser.parse_args()
    model, score = train(arguments.name, arguments.epochs, arguments.seed)
    path = arguments.output or WEIGHTS / f"{arguments.name}.safetensors"
    weights = {key: value.half().contiguous() for key, value in model.state_dict().items()}
    save_file(weights, path, metadata={"score": f"{score:.4f}"})
    kind = "accuracy" if RECIPES[arguments.name].score is accuracy else "share of variance"
    print(f"{arguments.name}: {kind} {score:.2%}; {path.stat().st_size / 1000:.0f} kB in {path}")


if __name__ == "__main__":
    _main()
