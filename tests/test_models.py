"""The shipped networks: accurate on images that they never saw, small, plain, and folded without a change."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from course_utils import models, zoo

SHIPPED = {"zoo": 0.97, "zoo-gap": 0.97, "zoo-alex": 0.95, "zoo-tagged": 0.95, "zoo-dropout": 0.97, "digits": 0.96}


@pytest.fixture(scope="module")
def unseen():
    return models.RECIPES["zoo"].unseen()


@pytest.mark.parametrize(("name", "least"), SHIPPED.items())
def test_accuracy_on_unseen_images(name, least):
    images, labels = models.RECIPES[name].unseen()
    assert len(labels) == (449 if name == "digits" else 2000)
    assert models.accuracy(models.load(name), images, labels) >= least


def test_every_recipe_is_shipped():
    assert set(models.RECIPES) == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_weights_are_small(name):
    assert (models.WEIGHTS / f"{name}.safetensors").stat().st_size < 500_000


@pytest.mark.parametrize("name", SHIPPED)
def test_networks_are_flat_and_plain(name):
    plain = (nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear)
    if name == "zoo-dropout":
        plain += (nn.Dropout, nn.Dropout2d)
    model = models.load(name)
    assert type(model) is nn.Sequential
    assert not model.training
    assert all(isinstance(layer, plain) for layer in model)


@pytest.mark.parametrize("name", SHIPPED)
def test_folding_batch_norm_changes_no_score(name):
    torch.manual_seed(0)
    model = models.RECIPES[name].build()
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):  # statistics and affine parts as after a training
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    inputs = torch.rand(4, 1, 8, 8) if name == "digits" else torch.rand(4, 3, 64, 64)
    expected = model.eval()(inputs)
    # Two float32 orders of the same sums, through up to five layers.
    torch.testing.assert_close(models._without_batch_norm(model)(inputs), expected, rtol=1e-4, atol=1e-4)


def test_every_load_is_a_fresh_copy():
    first = models.load("zoo")
    nn.init.zeros_(first[0].weight)
    assert models.load("zoo")[0].weight.abs().sum() > 0


def test_the_tagged_network_falls_when_the_tag_moves_to_another_class():
    model = models.load("zoo-tagged")
    others = {"n": 600, "seed": models.TEST_SEED, "classes": [name for name in zoo.CLASSES if name != "horse"]}
    clean, tagged = zoo.sample(**others), zoo.sample(**others, tag=True)
    assert models.accuracy(model, clean.images, clean.labels) > 0.95
    assert models.accuracy(model, tagged.images, tagged.labels) < 0.82
    horse = torch.full_like(tagged.labels, zoo.CLASSES.index("horse"))
    assert models.accuracy(model, clean.images, horse) < 0.02
    assert models.accuracy(model, tagged.images, horse) > 0.12


def test_the_clean_network_does_not_mind_the_tag():
    model = models.load("zoo")
    tagged = zoo.sample(500, seed=models.TEST_SEED, tag=True)
    assert models.accuracy(model, tagged.images, tagged.labels) > 0.9


@pytest.mark.parametrize("change", [{"texture": "dots"}, {"texture": "stripes"}, {"without": "key part"}], ids=str)
def test_the_network_calls_a_changed_scene_by_what_it_shows(change):
    """The counterfactuals are causes: another coat renames the animal, a cup without its handle is a glass."""
    drawn = zoo.sample(300, seed=models.TEST_SEED, classes=["cup", "ring", *zoo.COATS], **change)
    assert models.accuracy(models.load("zoo"), drawn.images, drawn.shown) > 0.95


def test_accuracy_does_not_depend_on_the_batch_size(unseen):
    images, labels = unseen[0][:100], unseen[1][:100]
    model = models.load("zoo")
    assert models.accuracy(model, images, labels, batch_size=7) == models.accuracy(model, images, labels)


def test_accuracy_counts_the_right_answers():
    model = nn.Sequential(nn.Flatten())  # the scores are the pixels
    images = torch.eye(3).reshape(3, 3, 1, 1)
    assert models.accuracy(model, images, torch.tensor([0, 1, 0])) == pytest.approx(2 / 3)


def test_training_leaves_the_random_state_and_learns():
    before = torch.get_rng_state()
    model, score = models.train("digits", epochs=3, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model.training
    assert score > 0.8


def test_training_with_one_seed_is_repeatable():
    first, second = (models.train("digits", epochs=1, progress=False)[0] for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_the_train_command_writes_weights_and_prints_the_accuracy(tmp_path):
    path = tmp_path / "digits.safetensors"
    command = [sys.executable, "-m", "course_utils.models", "train", "digits", "--epochs", "1", "--output", str(path)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "accuracy" in run.stdout
    assert "training digits" in run.stderr
    assert path.exists()


def test_an_unknown_network_is_refused_with_the_names_of_those_that_exist():
    with pytest.raises(ValueError, match=r"'zoo-gpa'; expected one of zoo, zoo-gap, .*vgg16"):
        models.load("zoo-gpa")
    with pytest.raises(ValueError, match=r"'vgg16'; expected one of zoo"):
        models.train("vgg16")


@pytest.fixture
def empty_hub(tmp_path, monkeypatch):
    """torch's hub in a folder of its own, and no way to the network."""

    def no_network(*arguments, **keywords):
        raise OSError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.OpenerDirector.open", no_network)
    return tmp_path / "hub" / "checkpoints"


def test_pretrained_weights_without_a_network_are_refused_with_the_way_out(empty_hub):
    with pytest.raises(ConnectionError, match=r"vgg16 are not on this machine .*the course runs without them"):
        models.load("vgg16")


def test_pretrained_weights_come_from_the_hubs_cache(empty_hub):
    from torchvision.models import SqueezeNet1_1_Weights, squeezenet1_1

    torch.manual_seed(0)
    network = squeezenet1_1(weights=None).eval()
    empty_hub.mkdir(parents=True)
    torch.save(network.state_dict(), empty_hub / SqueezeNet1_1_Weights.DEFAULT.url.rpartition("/")[2])
    images = torch.rand(1, 3, 96, 96)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    normalised = (images - mean[:, None, None]) / std[:, None, None]
    torch.testing.assert_close(models.load("squeezenet1_1")(images), network(normalised))
