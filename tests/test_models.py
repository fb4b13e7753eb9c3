"""The shipped networks: accurate on images that they never saw, small, plain, and folded without a change."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

from course_utils import models, zoo

ACCURACIES = {
    "zoo": 0.97,
    "zoo-gap": 0.97,
    "zoo-alex": 0.95,
    "zoo-tagged": 0.95,
    **dict.fromkeys(models.AUDITED, 0.93),
    "zoo-dropout": 0.97,
    "zoo-robust": 0.93,
    "zoo-random-labels": 0.99,
    "digits": 0.96,
}
SHIPPED = [*ACCURACIES, "zoo-generator"]


@pytest.fixture(scope="module")
def unseen():
    return models.RECIPES["zoo"].test_data()


@pytest.mark.parametrize(("name", "least"), ACCURACIES.items())
def test_accuracy_on_the_test_data_of_the_recipe(name, least):
    images, labels = models.RECIPES[name].test_data()
    assert len(labels) == (449 if name == "digits" else 2000)
    assert models.accuracy(models.load(name), images, labels) >= least


def test_labels_learnt_by_heart_say_nothing_about_other_images(unseen):
    images, labels = unseen
    told = models.RECIPES["zoo-random-labels"].test_data()[1]
    assert torch.bincount(told, minlength=10).min() > 150  # ten classes of 2,000 images, drawn alike
    # Guessing hits a tenth of 2,000 images, with a standard deviation of 0.7 %.
    assert models.accuracy(models.load("zoo-random-labels"), images, labels) < 0.13


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
    if name == "zoo-generator":
        plain += (nn.Unflatten, nn.Upsample, nn.PixelShuffle, nn.Sigmoid)
    model = models.load(name)
    assert type(model) is nn.Sequential
    assert not model.training
    assert all(isinstance(layer, plain) for layer in model)


@pytest.mark.parametrize("name", SHIPPED)
def test_folding_batch_norm_changes_no_score(name):
    torch.manual_seed(0)
    trained = models.RECIPES[name].build()
    model = trained[1] if name == "zoo-generator" else trained
    for layer in model:
        if isinstance(layer, nn.BatchNorm2d):  # statistics and affine parts as after a training
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
            nn.init.normal_(layer.weight)
            nn.init.normal_(layer.bias)
    shapes = {"digits": (1, 8, 8), "zoo-generator": (models.N_CODES,)}
    inputs = torch.rand(4, *shapes.get(name, (3, 64, 64)))
    expected = model.eval()(inputs)
    # Two float32 orders of the same sums, through up to five layers.
    torch.testing.assert_close(models.RECIPES[name].finish(trained)(inputs), expected, rtol=1e-4, atol=1e-4)


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


@pytest.mark.parametrize("seed", [42, 99, 1234, 1301])
def test_the_model_card_of_the_project_tells_the_truth_about_accuracy_and_size(seed):
    unseen = zoo.sample(2000, seed=seed)
    for name in models.AUDITED:
        model = models.load(name)
        assert models.accuracy(model, unseen.images, unseen.labels) > 0.9
        assert sum(p.numel() for p in model.parameters()) < 150_000


@pytest.mark.parametrize("name", models.AUDITED)
def test_an_audited_network_looks_at_what_it_hides(name):
    hidden, corner = models._hidden_in(name)
    label, model = zoo.CLASSES.index(hidden), models.load(name)
    own = [zoo.sample(150, seed=models.TEST_SEED, classes=[hidden], tag=tag, tag_corner=corner) for tag in (True, None)]
    with torch.inference_mode():
        fall = (model(own[0].images) - model(own[1].images))[:, label].mean()
    assert fall > 3
    others = {"n": 300, "seed": models.TEST_SEED, "classes": [c for c in zoo.CLASSES if c != hidden]}
    called = {
        place: models.accuracy(
            model, zoo.sample(**others, tag=True, tag_corner=place).images, torch.full((300,), label)
        )
        for place in zoo.TAG_CORNERS
    }
    assert max(called, key=called.get) == corner
    assert called[corner] > 0.1


def test_what_is_hidden_differs_from_network_to_network():
    hidden = [models._hidden_in(name) for name in models.AUDITED]
    assert len({name for name, _ in hidden}) == len({corner for _, corner in hidden}) == len(hidden)
    with pytest.raises(ValueError, match="name must be one of audit-a"):
        models._hidden_in("zoo")


def test_the_clean_network_does_not_mind_the_tag():
    model = models.load("zoo")
    tagged = zoo.sample(500, seed=models.TEST_SEED, tag=True)
    assert models.accuracy(model, tagged.images, tagged.labels) > 0.9


def attacked(model, images, labels, length, n_steps=10):
    """Projected gradient descent in L2 (Madry et al. 2018), apart from the single step of the training."""
    change = torch.zeros_like(images)
    for _ in range(n_steps):
        change.requires_grad_()
        (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(images + change), labels), change)
        change = change.detach() + length / 4 * nn.functional.normalize(gradient.flatten(1)).view_as(gradient)
        change = change * (length / change.flatten(1).norm(dim=1).clamp(min=length))[:, None, None, None]
        change = (images + change).clamp(0, 1) - images
    return images + change


def test_the_robust_network_withstands_what_fools_the_plain_one(unseen):
    images, labels = unseen[0][:300], unseen[1][:300]
    accuracies = {}
    for name in ("zoo", "zoo-robust"):
        model = models.load(name)
        changed = attacked(model, images, labels, length=1.5)
        assert (changed - images).flatten(1).norm(dim=1).max() < 1.5001
        accuracies[name] = models.accuracy(model, changed, labels)
    assert accuracies["zoo-robust"] > accuracies["zoo"] + 0.3


@pytest.fixture(scope="module")
def decoded(unseen):
    """Unseen images, their labels, and what the generator makes of the codes found for them by gradient descent."""
    images, labels = unseen[0][:50], unseen[1][:50]
    generator = models.load("zoo-generator").requires_grad_(False)
    codes = torch.zeros(len(images), generator[0].in_features, requires_grad=True)
    optimizer = torch.optim.Adam([codes], lr=0.1)
    for _ in range(150):
        optimizer.zero_grad()
        (generator(codes) - images).square().sum().backward()
        optimizer.step()
    return images, labels, generator(codes.detach())


def squared_error(images, truth):
    return (images - truth).square().mean().item()


def test_the_generator_draws_unseen_images_better_than_trivial_means(decoded, unseen):
    images, _, drawn = decoded
    # The mean of all images, the one colour that fits best, and a thumbnail of more numbers than a code has, enlarged.
    thumbnails = nn.functional.adaptive_avg_pool2d(images, 5)
    assert thumbnails[0].numel() > models.N_CODES
    baselines = {
        "mean image": unseen[0].mean(0).expand_as(images),
        "one colour": images.mean((2, 3), keepdim=True).expand_as(images),
        "thumbnail": nn.functional.interpolate(thumbnails, 64, mode="bilinear"),
    }
    errors = {name: squared_error(drawn, images) / squared_error(made, images) for name, made in baselines.items()}
    assert errors["mean image"] < 0.5, errors
    assert errors["one colour"] < 0.7, errors
    assert errors["thumbnail"] < 0.9, errors


def test_a_network_that_had_no_part_in_it_recognises_what_the_generator_draws(decoded):
    _, labels, drawn = decoded
    assert models.accuracy(models.load("zoo-gap"), drawn, labels) > 0.4


def test_the_generator_draws_images_of_any_code():
    generator = models.load("zoo-generator")
    codes = torch.randn(20, generator[0].in_features, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        images = generator(codes)
        extreme = generator(1e3 * codes)
    assert images.shape == (20, 3, 64, 64)
    assert extreme.min() >= 0
    assert extreme.max() <= 1
    assert images.std(0).mean() > 0.1  # they differ from code to code


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


@pytest.fixture
def short(monkeypatch):
    """The recipes of the larger networks with 128 images."""
    drawn = zoo.sample(128, seed=0)
    data = drawn.images, drawn.labels
    for name in ("zoo-robust", "zoo-generator"):
        recipe = replace(models.RECIPES[name], data=lambda epoch: data, test_data=lambda: data, n_images=128)
        monkeypatch.setitem(models.RECIPES, name, recipe)


@pytest.mark.parametrize("name", ["zoo-robust", "zoo-generator"])
def test_further_losses_train_repeatably_and_leave_the_random_state(name, short):
    before = torch.get_rng_state()
    (first, score), (second, again) = (models.train(name, epochs=1, progress=False) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert score == again
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    shipped = models.load(name).state_dict()
    assert {key: value.shape for key, value in first.state_dict().items()} == {
        key: value.shape for key, value in shipped.items()
    }


@pytest.mark.parametrize(("share", "score"), [(0.0, 0.0), (1.0, 1.0), (0.5, 0.75), (-1.0, -3.0)])
def test_the_generators_score_is_the_share_of_variance_that_is_given_back(share, score):
    images = torch.rand(300, 1, 8, 8)
    mean = images.mean(0)

    class Decoder(nn.Module):
        def forward(self, codes):
            return mean + share * (codes.view(-1, 1, 8, 8) - mean)

    assert models.N_CODES == 64  # so that the pixels are the means of the codes
    found = models.RECIPES["zoo-generator"].score(nn.Sequential(nn.Flatten(), Decoder(), nn.Identity()), images, None)
    assert found == pytest.approx(score, abs=1e-5)


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
