"""The explorer of unit 12: many explanations of one class in a few groups, by a distance that you choose."""

from __future__ import annotations

from functools import lru_cache

import ipywidgets
import torch
from torch import Tensor, nn

from course_utils import gam, plotting, zoo
from course_utils import gradient_methods as gm
from course_utils.checking import check_model
from course_utils.widgets.explorer import Explorer

NETWORKS = ("zoo-tagged", "zoo")
DISTANCES = {
    "Spearman, weighted": ("spearman", True),
    "Spearman, without weights": ("spearman", False),
    "Kendall, weighted": ("kendall", True),
    "sum of differences": ("l1", True),
}
N_IMAGES = 40


def explorer(models: dict[str, nn.Module] | None = None, size: int = 8) -> Explorer:
    """Map the explanations of horses: choose the network, the distance, and the number of groups.

    Half of the images carry a tag. A feature is a cell of a grid: the sum of |relevance| of integrated gradients.

    Args:
        models: name -> nn.Module in eval mode, images (N, 3, 64, 64) -> scores (N, 10) of the zoo's classes; default:
            the course's networks "zoo-tagged" and "zoo".
        size: rows and columns of the grid.

    Returns:
        An :class:`Explorer`: the medoids of the groups, over their images; its text gives their explanatory power, the
        share of tagged images in each, the agreement of the groups with the tag, and the silhouette.

    Raises:
        ValueError, TypeError: a bad argument.
    """
    from course_utils import models as course_models

    if models is None:
        networks = {name: course_models.load(name) for name in NETWORKS}
    else:
        networks = {name: check_model(model) for name, model in models.items()}
    label = zoo.CLASSES.index("horse")
    drawn = [zoo.sample(N_IMAGES, seed=31 + k, classes=["horse"], tag=tag) for k, tag in enumerate((True, None))]
    images, tagged = (torch.cat([getattr(part, name) for part in drawn]) for name in ("images", "tagged"))

    @lru_cache(maxsize=8)
    def shares(network: str) -> Tensor:
        maps = gm.integrated_gradients(networks[network], images, label, 0.5, n_steps=12)
        return gam.normalize(gam.cells(maps, size))

    @lru_cache(maxsize=32)
    def distances(network: str, distance: str) -> Tensor:
        metric, weighted = DISTANCES[distance]
        return gam.pairwise_rank_distances(shares(network), metric, weighted)

    @lru_cache(maxsize=64)
    def groups(network: str, distance: str, number: int) -> gam.Clustering:
        return gam.k_medoids(distances(network, distance), number, generator=torch.Generator().manual_seed(0))

    def draw(network: str, distance: str, number: int) -> plotting.Picture:
        found = groups(network, distance, number)
        power = found.members.bincount(minlength=number).double() / len(images)
        share = [float(tagged[found.members == k].double().mean()) for k in range(number)]
        return plotting.heatmap_grid(
            shares(network)[found.medoids].view(number, size, size),
            titles=[f"explains {float(p):.0%}, {s:.0%} of them tagged" for p, s in zip(power, share, strict=True)],
            images=images[found.medoids],
            heading=f"{number} global explanations of 'horse', {network}",
            label="share of importance",
        )

    def describe(network: str, distance: str, number: int) -> str:
        from sklearn.metrics import adjusted_rand_score, silhouette_score

        found = groups(network, distance, number)
        table = distances(network, distance).numpy()
        silhouette = float(silhouette_score(table, found.members.numpy(), metric="precomputed"))
        agreement = adjusted_rand_score(tagged.numpy(), found.members.numpy())
        sizes = ", ".join(
            f"group {k + 1}: {int((found.members == k).sum())} images, {int(tagged[found.members == k].sum())} tagged"
            for k in range(number)
        )
        return (
            f"{network}, {distance}: {sizes}. Agreement of the groups with the tag (adjusted Rand index): "
            f"{agreement:.2f}. Mean silhouette {silhouette:.2f}, cost {found.cost:.3g}."
        )

    controls = {
        "network": ipywidgets.Dropdown(options=list(networks), description="Network"),
        "distance": ipywidgets.Dropdown(options=list(DISTANCES), description="Distance"),
        "number": ipywidgets.IntSlider(value=2, min=2, max=5, description="Number of groups", continuous_update=False),
    }
    return Explorer(draw, controls, describe)
