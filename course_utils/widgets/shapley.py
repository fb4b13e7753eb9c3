"""The explorer of unit 09: form a coalition of superpixels, and see what it wins and what each player adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import evaluation, lime, plotting, shapley
from course_utils.checking import check_inputs, check_target
from course_utils.widgets.explorer import Explorer

N_SEGMENTS = 9  # of slic: 6 to 9 players, at most 512 coalitions
MOST = 12
BASELINES = {"its own mean colour": None, "grey": 0.5, "black": 0.0, "the image, blurred": "blurred"}


def explorer(
    model: nn.Module | None = None,
    images: Tensor | None = None,
    labels: Tensor | None = None,
    class_names: Sequence[str] | None = None,
) -> Explorer:
    """Form coalitions: choose the image, what removed superpixels get, and who is in the coalition.

    Args:
        model: nn.Module in eval mode, (N, C, H, W) -> scores (N, K); default: the course's network "zoo".
        images: (N, C, H, W) in [0, 1], C 1 or 3, of at most 12 superpixels; default: four images of the zoo.
        labels: LongTensor (N,), the class of each image whose score is won. Given with `images`.
        class_names: names of the classes; default: those of the zoo.

    Returns:
        An :class:`Explorer`: the players, the image of the coalition, and what each player adds to the coalition
        beside its Shapley value; its text gives what the coalition wins.

    Raises:
        ValueError, TypeError: a bad argument, or only one of `images` and `labels`.
    """
    from course_utils import models, zoo

    model = models.load("zoo") if model is None else model
    names = zoo.CLASSES if class_names is None else tuple(class_names)
    if (images is None) != (labels is None):
        raise ValueError("images and labels must be given together: the label's score is what is won")
    if images is None:
        drawn = zoo.sample(60, seed=606)
        chosen = [drawn.labels.tolist().index(zoo.CLASSES.index(name)) for name in ("zebra", "cup", "star", "ring")]
        images, labels = drawn.images[chosen], drawn.labels[chosen]
    images, labels = check_inputs(images), check_target(labels, len(images))
    with torch.no_grad():
        n_classes = model(images[:1].clone()).shape[1]
    if len(names) != n_classes:
        raise ValueError(f"class_names must be {n_classes} in number, as the model's scores, got {len(names)}")
    segments = [lime.segment(image, N_SEGMENTS) for image in images]
    n_players = [int(parts.max()) + 1 for parts in segments]
    if max(n_players) > MOST:
        raise ValueError(f"images must have at most {MOST} superpixels, got {max(n_players)}")
    blurred = evaluation.blurred(images)

    def colour(image: int, baseline: str) -> float | Tensor | None:
        value = BASELINES[baseline]
        return blurred[image] if value == "blurred" else value

    # All coalitions are asked about once; forming one only looks up.
    @lru_cache(maxsize=32)
    def played(image: int, baseline: str) -> tuple[Tensor, Tensor]:
        """Give what all coalitions win, in the order of their binary numbers, and the Shapley values."""
        n = n_players[image]
        game = shapley.superpixel_game(
            model, images[image], int(labels[image]), segments[image], colour(image, baseline)
        )
        won = game((torch.arange(2**n).unsqueeze(1) >> torch.arange(n) & 1).bool())
        return won, shapley.exact_shapley(lambda rows: won[rows.long() @ 2 ** torch.arange(n)], n)

    def coalition(image: int, members: tuple[int, ...]) -> tuple[Tensor, int]:
        """Give who is in, bool (1, n), and its number; players that this image does not have are left out."""
        stays = torch.zeros(1, n_players[image], dtype=torch.bool)
        stays[0, [k for k in members if k < n_players[image]]] = True
        return stays, int(stays[0].long() @ 2 ** torch.arange(n_players[image]))

    def gains(image: int, baseline: str, members: tuple[int, ...]) -> Tensor:
        """Give what each player adds to the coalition of the other members, (n,)."""
        won, _ = played(image, baseline)
        _, number = coalition(image, members)
        bits = 2 ** torch.arange(n_players[image])
        return won[number | bits] - won[number & ~bits]

    def draw(image: int, baseline: str, members: tuple[int, ...]) -> plotting.Picture:
        stays, _ = coalition(image, members)
        _, shares = played(image, baseline)
        pairs = {
            f"{k}{' (in)' if stays[0, k] else ''}": (float(gain), float(share))
            for k, (gain, share) in enumerate(zip(gains(image, baseline, members), shares, strict=True))
        }
        left = lime.perturb(images[image], segments[image], stays, colour(image, baseline))[0]
        heading = f"{int(stays.sum())} of {n_players[image]} players for {names[labels[image]]}"
        label = f"score of {names[labels[image]]}"
        return plotting.coalition_step(
            images[image], segments[image], left, pairs, ("adds here", "Shapley value"), label, heading
        )

    def describe(image: int, baseline: str, members: tuple[int, ...]) -> str:
        stays, number = coalition(image, members)
        won, shares = played(image, baseline)
        inside = stays[0].nonzero().flatten().tolist()
        added = gains(image, baseline, members)
        best = int(added.argmax())
        return (
            f"In the coalition: {', '.join(map(str, inside)) if inside else 'nobody'}. It wins {won[number]:.2f}; "
            f"nobody wins {won[0]:.2f}, all together {won[-1]:.2f}. Most is added to the others by player {best}: "
            f"{added[best]:.2f}; its Shapley value, the mean over all orders, is {shares[best]:.2f}. The Shapley "
            f"values sum to {shares.sum():.2f} = {won[-1]:.2f} - ({won[0]:.2f})."
        )

    controls = {
        "image": ipywidgets.Dropdown(
            options=[(f"{k + 1}: {names[label]}", k) for k, label in enumerate(labels.tolist())], description="Image"
        ),
        "baseline": ipywidgets.Dropdown(options=list(BASELINES), description="Who is out, gets"),
        "members": ipywidgets.SelectMultiple(
            options=list(range(MOST)), value=(0, 1), rows=6, description="In (several: Ctrl or Shift)"
        ),
    }
    return Explorer(draw, controls, describe)
