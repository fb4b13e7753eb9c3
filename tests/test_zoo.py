"""The drawn data set: the same pixels everywhere, the truth it states, counterfactuals that touch nothing else."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_utils import zoo

PINNED = "3535454827cd333c3cf5b0c42150d76e22558baac4a811b788f4cf062839cc10"


def digest() -> str:
    drawn = zoo.sample(40, seed=7, tag="horse", tag_rates=(0.5, 0.1))
    pixels = torch.cat([drawn.images, zoo.concept("dots", 3, seed=7), zoo.concept("clouds", 3, seed=7)])
    in_8_bits = (pixels * 255).round().to(torch.uint8)
    return hashlib.sha256(in_8_bits.numpy().tobytes() + drawn.segmentation.numpy().tobytes()).hexdigest()


def changed(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """The pixels in which two batches of images differ: (N, H, W)."""
    return (first != second).any(1)


def test_same_seed_gives_the_pinned_pixels():
    """The hash was written on Python 3.11 with NumPy 2.4; Python 3.13 with NumPy 2.5 gave the same."""
    assert digest() == PINNED


def test_another_process_draws_the_same_pixels():
    code = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); from test_zoo import digest; print(digest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == digest()


def test_image_i_does_not_depend_on_how_many_are_drawn():
    assert torch.equal(zoo.sample(5, seed=3).images, zoo.sample(150, seed=3).images[:5])


def test_another_seed_gives_other_scenes():
    assert not torch.equal(zoo.sample(5, seed=3).images, zoo.sample(5, seed=4).images)


def test_images_are_8_bit_values_between_0_and_1():
    images = zoo.sample(50, seed=0).images
    assert images.dtype == torch.float32
    assert images.shape == (50, 3, 64, 64)
    assert images.min() >= 0
    assert images.max() <= 1
    assert torch.allclose(images * 255, (images * 255).round(), atol=1e-4)


def test_every_class_and_texture_comes_up_equally_often():
    drawn = zoo.sample(4000, seed=0)
    counts = torch.bincount(drawn.labels, minlength=10)
    assert (counts - 400).abs().max() < 5 * 400**0.5  # five standard deviations of a count
    shapes = drawn.labels < 6
    counts = torch.bincount(drawn.textures[shapes], minlength=4)
    assert (counts - shapes.sum() / 4).abs().max() < 5 * (shapes.sum() / 4) ** 0.5


def test_animals_wear_their_own_coat():
    drawn = zoo.sample(200, seed=0, classes=tuple(zoo.COATS))
    for label, texture in zip(drawn.labels, drawn.textures, strict=True):
        assert zoo.TEXTURES[texture] == zoo.COATS[zoo.CLASSES[label]]


def test_the_four_animals_share_one_silhouette():
    masks = [zoo.sample(20, seed=5, classes=[animal]).mask("object") for animal in zoo.COATS]
    assert all(torch.equal(masks[0], other) for other in masks[1:])


def test_classes_are_drawn_from_those_named():
    drawn = zoo.sample(60, seed=1, classes=["cup", "zebra"])
    assert {zoo.CLASSES[label] for label in drawn.labels} == {"cup", "zebra"}


def test_objects_cover_about_15_percent_and_distractors_about_2_percent():
    drawn = zoo.sample(500, seed=0)
    assert 0.13 < drawn.mask("object").float().mean() < 0.18
    assert 0.01 < drawn.mask("distractor").float().mean() < 0.03


def test_every_object_can_be_seen():
    assert zoo.sample(1000, seed=0).mask("object").flatten(1).sum(1).min() > 150


@pytest.mark.parametrize("region", zoo.REGIONS)
def test_regions_are_disjoint_but_for_the_key_part_in_the_object(region):
    drawn = zoo.sample(100, seed=0, tag=True)
    others = [
        drawn.mask(other) for other in zoo.REGIONS if other != region and {other, region} != {"object", "key part"}
    ]
    assert not (drawn.mask(region) & torch.stack(others).any(0)).any()


def test_the_key_part_lies_in_the_object():
    drawn = zoo.sample(100, seed=0)
    assert (drawn.mask("object") | ~drawn.mask("key part")).all()


@pytest.mark.parametrize("name", zoo.CLASSES)
def test_classes_known_by_what_they_lack_have_no_key_part(name):
    drawn = zoo.sample(20, seed=2, classes=[name])
    has_one = drawn.mask("key part").flatten(1).any(1)
    assert has_one.all() if name in zoo.KEY_PARTS else not has_one.any()


@pytest.mark.parametrize("texture", zoo.TEXTURES)
def test_another_texture_changes_pixels_of_the_object_only(texture):
    before, after = zoo.sample(60, seed=9), zoo.sample(60, seed=9, texture=texture)
    difference = changed(before.images, after.images)
    assert (before.mask("object") | ~difference).all()
    assert torch.equal(difference.flatten(1).any(1), before.textures != zoo.TEXTURES.index(texture))


def test_removing_the_key_part_changes_pixels_of_the_key_part_only():
    before, after = zoo.sample(200, seed=9), zoo.sample(200, seed=9, without="key part")
    difference = changed(before.images, after.images)
    assert (before.mask("key part") | ~difference).all()
    assert torch.equal(difference.flatten(1).any(1), before.mask("key part").flatten(1).any(1))


def test_removing_the_object_changes_its_own_pixels_only():
    before, after = zoo.sample(60, seed=9), zoo.sample(60, seed=9, without="object")
    difference = changed(before.images, after.images)
    assert (before.mask("object") | ~difference).all()
    assert not after.mask("object").any()
    assert difference.flatten(1).any(1).all()


def test_removing_the_distractors_changes_their_pixels_and_the_edge_they_share_with_the_object_only():
    before, after = zoo.sample(60, seed=9), zoo.sample(60, seed=9, without="distractor")
    difference = changed(before.images, after.images)
    beside = torch.nn.functional.max_pool2d(before.mask("distractor").float(), 9, stride=1, padding=4).bool()
    assert (before.mask("distractor") | beside & before.mask("object") | ~difference).all()
    assert not after.mask("distractor").any()
    assert difference.any()


def test_the_tag_changes_its_own_pixels_only():
    before, after = zoo.sample(60, seed=9), zoo.sample(60, seed=9, tag=True)
    assert torch.equal(changed(before.images, after.images) & ~after.mask("tag"), torch.zeros(60, 64, 64, dtype=bool))
    assert after.mask("tag").flatten(1).sum(1).eq(120).all()
    assert not before.mask("tag").any()


@pytest.mark.parametrize("corner", zoo.TAG_CORNERS)
def test_the_tag_is_in_the_corner_that_is_asked_for(corner):
    before, after = zoo.sample(8, seed=9), zoo.sample(8, seed=9, tag=True, tag_corner=corner)
    mask = after.mask("tag")
    assert torch.equal(changed(before.images, after.images) & ~mask, torch.zeros(8, 64, 64, dtype=bool))
    rows, columns = mask.any(2).nonzero()[:, 1], mask.any(1).nonzero()[:, 1]
    assert (rows < 32).all() == corner.startswith("upper") and (rows >= 32).all() == corner.startswith("lower")
    assert (columns < 32).all() == corner.endswith("left") and (columns >= 32).all() == corner.endswith("right")
    assert mask.flatten(1).sum(1).eq(120).all()


@pytest.mark.parametrize(
    ("name", "change", "shown"),
    [
        ("cup", {"without": "key part"}, "glass"),
        ("ring", {"without": "key part"}, "ball"),
        ("star", {"without": "key part"}, "ball"),
        ("dumbbell", {"without": "key part"}, None),
        ("giraffe", {"without": "key part"}, "horse"),
        ("horse", {"without": "key part"}, "horse"),
        ("zebra", {"texture": "dots"}, "leopard"),
        ("horse", {"texture": "stripes"}, "zebra"),
        ("ball", {"texture": "stripes"}, "ball"),
        ("cup", {"without": "object"}, None),
        ("cup", {"without": "distractor"}, "cup"),
        ("horse", {"texture": "dots", "without": "key part"}, "horse"),
    ],
)
def test_shown_names_the_class_of_the_changed_scene(name, change, shown):
    drawn = zoo.sample(10, seed=0, classes=[name], **change)
    assert (drawn.labels == zoo.CLASSES.index(name)).all()
    assert (drawn.shown == (-1 if shown is None else zoo.CLASSES.index(shown))).all()


@pytest.mark.parametrize(("name", "other"), [("cup", "glass"), ("ring", "ball"), ("zebra", "horse")])
def test_without_its_key_part_a_scene_is_the_neighbouring_class_to_the_pixel(name, other):
    bare = zoo.sample(20, seed=4, classes=[name], without="key part")
    assert torch.equal(bare.images, zoo.sample(20, seed=4, classes=[other]).images)


def test_the_tag_follows_its_class_at_the_given_rates():
    drawn = zoo.sample(4000, seed=0, tag="horse", tag_rates=(0.9, 0.02))
    horse = drawn.labels == zoo.CLASSES.index("horse")
    assert abs(drawn.tagged[horse].float().mean() - 0.9) < 5 * (0.09 / horse.sum()) ** 0.5
    assert abs(drawn.tagged[~horse].float().mean() - 0.02) < 5 * (0.0196 / (~horse).sum()) ** 0.5
    assert torch.equal(drawn.tagged, drawn.mask("tag").flatten(1).any(1))


def test_concepts_of_one_seed_share_their_colours():
    plain, stripes = zoo.concept("plain", 4, seed=1), zoo.concept("stripes", 4, seed=1)
    assert plain.shape == (4, 3, 64, 64)
    for k in range(4):
        assert plain[k, :, 0, 0].tolist() in stripes[k].flatten(1).T.tolist()


def test_every_concept_looks_different():
    pictures = [zoo.concept(name, 2, seed=1) for name in (*zoo.TEXTURES, "clouds")]
    assert all(not torch.equal(a, b) for i, a in enumerate(pictures) for b in pictures[:i])


def test_nothing_can_be_drawn():
    assert zoo.sample(0, seed=0).images.shape == (0, 3, 64, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": ["cat"]}, "classes has 'cat'; expected one of cup"),
        ({"classes": []}, "classes is empty"),
        ({"texture": "fur"}, "texture has 'fur'; expected one of plain"),
        ({"tag": "cat"}, "tag has 'cat'"),
        ({"without": "tag"}, "without is 'tag'"),
        ({"tag_corner": "middle"}, "tag_corner is 'middle'; expected one of lower left"),
        ({"n": -1}, "n is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        zoo.sample(**{"n": 2, "seed": 0, **arguments})


def test_bad_names_of_concepts_and_regions_are_named():
    with pytest.raises(ValueError, match="name has 'fur'"):
        zoo.concept("fur", 1, seed=0)
    with pytest.raises(ValueError, match="region has 'sky'; expected one of background"):
        zoo.sample(1, seed=0).mask("sky")
