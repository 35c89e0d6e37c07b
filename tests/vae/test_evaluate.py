"""Measures of codes and samples against definitions, and with a wrong coder for each."""

import dataclasses

import numpy as np
import pytest
from linear_gaussian import LATENT, SHAPE, classify, data, flat
from scipy import linalg, special, stats
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from genjax.vae import evaluate, latents


def test_principal_components_are_the_singular_vectors(ref):
    x = ref.splits["train"]["image"].clip(0, 1)
    coder = evaluate.pca_coder(x, 2)
    centre = flat(x).mean(0)
    _, sizes, rows = np.linalg.svd(flat(x) - centre, full_matrices=False)
    codes = coder.encode(x)
    np.testing.assert_allclose(np.abs(codes), np.abs((flat(x) - centre) @ rows[:2].T), atol=1e-4)
    rebuilt = ((flat(x) - centre) @ rows[:2].T @ rows[:2] + centre).clip(0, 1)
    np.testing.assert_allclose(flat(coder.decode(codes)), rebuilt, atol=1e-5)
    np.testing.assert_array_equal(coder.draw(x), codes)
    drawn = coder.sources["gaussian"](4000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn.var(0), sizes[:2] ** 2 / len(x), rtol=0.1)
    # No more components than pixels.
    assert evaluate.pca_coder(x, 40).encode(x).shape == (1500, 4)


# A coder of plain functions: codes are the first two pixels, decoding gives back those alone.
def plain(offset=0.0, scale=1.0, noise=1.0, decode=None):
    def encode(x):
        return (scale * flat(x)[:, :LATENT] + offset).astype(np.float32)

    def put(z):
        out = np.zeros((len(z), 4), np.float32)
        out[:, :LATENT] = (z - offset) / scale
        return out.reshape(-1, *SHAPE)

    def draw(x):
        return noise * np.random.default_rng(8).standard_normal((len(x), LATENT))

    def normal(count, rng):
        return rng.standard_normal((count, LATENT)).astype(np.float32)

    return evaluate.Coder(encode, draw, decode or put, {"normal": normal})


def frechet(a, b):
    """Heusel et al. 2017, eq. 6, as it is written."""
    one, two = (np.cov(x, rowvar=False) for x in (a, b))
    # The trace of a root is the sum of the eigenvalues' roots.
    roots = np.sqrt(np.linalg.eigvals(one @ two).real.clip(0))
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(one + two) - 2 * roots.sum()


def imq(spread):
    """E k(x, y) for x - y ~ N(0, spread I): in two dimensions |x - y|^2 is exponential."""
    scales = 2 * LATENT * np.array([0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]) / (2 * spread)
    return (scales * np.exp(scales) * special.exp1(scales)).sum()


def mmd_to_prior(noise):
    """Of N(0, noise^2 I) from N(0, I)."""
    return imq(2 * noise**2) + imq(2) - 2 * imq(1 + noise**2)


@pytest.fixture(scope="module")
def measured(ref):
    return evaluate.measure_coder(plain(), ref, ["normal", "vamp"], seed=4)


@pytest.fixture(scope="module")
def exact(ref):
    """{measure: (value, tolerance)} of `plain()`."""
    train, test = ref.splits["train"], ref.splits["test"]
    x = flat(test["image"])
    rebuilt = x * [1, 1, 0, 0]
    squared = ((x - rebuilt) ** 2).mean(1)
    p = rebuilt.clip(1e-6, 1 - 1e-6)
    codes, seen = x[:, :2], flat(train["image"])[:, :2]
    scaler = StandardScaler().fit(seen)
    draws = plain().draw(x)
    found = {
        "mse": (squared.mean(), 1e-5),
        "psnr": ((-10 * np.log10(squared)).mean(), 1e-3),
        "bce": (-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum(1).mean(), 1e-2),
        "kfid_reconstructions": (frechet(classify(x)[1], classify(rebuilt)[1]), 1e-3),
        "mmd": (mmd_to_prior(1.0), 0.02),
        "frechet_to_normal": (
            (draws.mean(0) ** 2).sum()
            + np.trace(
                np.cov(draws, rowvar=False)
                + np.eye(2)
                - 2 * linalg.sqrtm(np.cov(draws, rowvar=False))
            ),
            1e-6,
        ),
        "roughness": (1.0, 1e-5),
    }
    for name, count in (("100", 100), ("1000", 1000), ("all", None)):
        rows = np.arange(1500) if count is None else latents._balanced(train["label"], count, 4)
        labels = train["label"][rows]
        line = LogisticRegression().fit(StandardScaler().fit_transform(seen[rows]), labels)
        scaler = StandardScaler().fit(seen[rows])
        vote = KNeighborsClassifier(5).fit(seen[rows], labels)
        found[f"probe/{name}"] = line.score(scaler.transform(codes), test["label"]), 2 / 400
        found[f"knn/{name}"] = vote.score(codes, test["label"]), 2 / 400
    return found


def test_images_shown_are_of_as_many_classes_as_there_are():
    labels = np.array([5, 5, 1, 9, 1, 0, 2, 5, 3, 4])
    found = evaluate.one_a_class(labels, 8)
    assert labels[found].tolist() == [0, 1, 2, 3, 4, 5, 9, 5] and found[[1, 5, 7]].tolist() == [
        2,
        0,
        1,
    ]
    assert evaluate.one_a_class(labels, 3).tolist() == [5, 2, 6]
    assert evaluate.one_a_class(np.zeros(4, int), 3).tolist() == [0, 1, 2]


def test_measures_of_a_coder_are_worked_out_anew(ref, measured, exact):
    found, arrays = measured
    for name, (value, tolerance) in exact.items():
        assert found[name] == pytest.approx(value, abs=tolerance), name
    samples = {name for name in found if name.startswith("normal/")}
    scale_free = {"mmd_rescaled", "mmd_normal"}
    assert set(found) == set(exact) | samples | scale_free | {"kfid_midpoints"}
    x = ref.splits["test"]["image"]
    shown = x[evaluate.one_a_class(ref.splits["test"]["label"], 8)]
    np.testing.assert_array_equal(arrays["inputs"], shown)
    np.testing.assert_array_equal(flat(arrays["reconstructions"]), flat(shown) * [1, 1, 0, 0])
    np.testing.assert_array_equal(arrays["latent"], flat(x)[:, :2].astype(np.float32))
    np.testing.assert_array_equal(arrays["label"], ref.splits["test"]["label"])
    # A sampler that the model does not have is left out.
    assert arrays["samples_normal"].shape == (64, *SHAPE) and "samples_vamp" not in arrays


def test_each_sampler_has_the_images_of_its_own_draws_and_their_measures(ref):
    """Drawn one after the other, of the same numbers whoever is measured first."""
    drawn = {}

    def of(name, scale):
        def draw(count, rng):
            drawn[name] = scale * rng.standard_normal((count, 2)).astype(np.float32)
            return drawn[name]

        return draw

    coder = plain()._replace(sources={"wide": of("wide", 2), "narrow": of("narrow", 0.5)})
    found, arrays = evaluate.measure_coder(coder, ref, ["wide", "narrow"], seed=4)
    for name, z in drawn.items():
        images = plain().decode(z)
        np.testing.assert_array_equal(arrays[f"samples_{name}"], images[:64])
        wanted = evaluate.measure_samples(images, ref, 4)
        own = {measure: found[f"{name}/{measure}"] for measure in wanted}
        assert own == pytest.approx(wanted, rel=1e-9, nan_ok=True)
    # The first one's numbers are those that it has alone.
    first = drawn["wide"]
    evaluate.measure_coder(coder, ref, ["wide"], seed=4)
    np.testing.assert_array_equal(drawn["wide"], first)


@pytest.mark.parametrize(
    ("wrong", "seen"),
    (
        ({"noise": 3.0}, ("mmd", "frechet_to_normal")),
        ({"noise": 0.3}, ("mmd", "frechet_to_normal")),
        (
            {"decode": lambda z: 1.5 * plain().decode(z)},
            ("mse", "psnr", "bce", "kfid_reconstructions", "kfid_midpoints"),
        ),
        (
            {"decode": lambda z: plain().decode(z**2)},
            ("mse", "kfid_reconstructions", "kfid_midpoints", "roughness"),
        ),
    ),
)
def test_a_wrong_coder_is_seen(ref, measured, exact, wrong, seen):
    found = evaluate.measure_coder(plain(**wrong), ref, [], seed=4)[0]
    exact = exact | {"kfid_midpoints": (measured[0]["kfid_midpoints"], 0.05)}
    for name in seen:
        value, tolerance = exact[name]
        assert abs(found[name] - value) > 5 * tolerance, name


def test_codes_without_labels_in_them_are_no_better_than_chance(ref):
    def encode(x):
        return np.random.default_rng(len(x)).standard_normal((len(x), 2))

    found = evaluate.measure_coder(plain()._replace(encode=encode), ref, [], seed=4)[0]
    for name in ("100", "1000", "all"):
        assert abs(found[f"probe/{name}"] - 0.5) < 0.1 and abs(found[f"knn/{name}"] - 0.5) < 0.1


def test_draws_far_from_the_prior_have_the_integrals_mmd(ref):
    found = evaluate.measure_coder(plain(noise=3.0), ref, [], seed=4)[0]
    assert found["mmd"] == pytest.approx(mmd_to_prior(3.0), rel=0.15) and found["mmd"] > 0.5
    # Rescaled they are Gaussian of mean 0 and covariance I, and so are draws of it.
    assert abs(found["mmd_rescaled"]) < 0.05 and abs(found["mmd_normal"]) < 0.05


def path(coder, codes, count=4000):
    """Measures and rows of interpolations between codes; the features are the pixels."""
    images = coder.decode(codes)

    def pixels(images):
        return np.full((len(images), 2), 0.5), flat(images)

    features = pixels(images)[1][np.resize(np.arange(len(images)), count)]
    ref = evaluate.Reference({}, pixels, features)
    return evaluate.interpolations(coder, ref, codes, np.random.default_rng(2))


def test_midpoints_of_a_linear_decoder_have_half_the_variance():
    """The mean of two independent codes: covariance C / 2, and a distance of (1 - 1/sqrt 2)^2."""
    codes = np.random.default_rng(0).normal(3.0, [1.0, 2.0], (4000, 2)).astype(np.float32)
    found, _ = path(plain(), codes)
    expected = (1 - 0.5**0.5) ** 2 * codes.var(0).sum()
    assert found["kfid_midpoints"] == pytest.approx(expected, rel=0.1)
    assert found["roughness"] == pytest.approx(1, abs=1e-5)


def test_rows_of_interpolations_go_straight_from_one_code_to_another():
    codes = np.arange(20, dtype=np.float32).reshape(10, 2) ** 2
    _, rows = path(plain(), codes)
    assert rows.shape == (4, 11, *SHAPE)
    for row in rows.reshape(4, 11, 4)[..., :2]:
        assert (codes == row[0]).all(1).any() and (codes == row[-1]).all(1).any()
        steps = np.diff(row, axis=0)
        np.testing.assert_allclose(steps, np.tile((row[-1] - row[0]) / 10, (10, 1)), atol=1e-3)
    assert len(np.unique(rows.reshape(4, -1), axis=0)) > 1


def test_roughness_of_a_circle_is_ten_chords_over_one():
    angle = 2.0

    def around(z):
        z = z[:, 0]
        return np.stack([np.cos(z), np.sin(z), 0 * z, 0 * z], 1).reshape(-1, *SHAPE)

    codes = np.tile(np.array([[0.0, 0.0], [angle, 0.0]], np.float32), (30, 1))
    seen = []

    def counted(z):
        seen.append(len(z))
        return around(z)

    found, _ = path(plain(decode=counted), codes)
    assert found["roughness"] == pytest.approx(10 * np.sin(angle / 20) / np.sin(angle / 2), 1e-4)
    assert 200 * 11 in seen


def test_measures_of_samples_are_brute_force(ref):
    """Against definitions, and with another law, which moves every one."""
    rng = np.random.default_rng(6)
    train, test = flat(ref.splits["train"]["image"]), flat(ref.splits["test"]["image"])
    images = (0.6 * test[:300] + 0.3 + 0.3 * rng.standard_normal((300, 4))).astype(np.float32)
    found = evaluate.measure_samples(images.reshape(-1, *SHAPE), ref, seed=4)
    real, (share, fake) = classify(test)[1], classify(images)

    def pairs(a, b):
        return np.linalg.norm(a[:, None] - b[None], axis=2)

    def radius(points):
        return np.sort(pairs(points, points), 1)[:, 5]

    between = pairs(real, fake)
    inside, within = between <= radius(real)[:, None], between <= radius(fake)[None]
    labels = np.bincount(share.argmax(1), minlength=2) / 300
    expected = {
        "kfid": frechet(real, fake),
        "precision": inside.any(0).mean(),
        "recall": within.any(1).mean(),
        "density": inside.sum(0).mean() / 5,
        "coverage": inside.any(1).mean(),
        "memorisation": np.median(pairs(images, train).min(1))
        / np.median(pairs(test, train).min(1)),
        "total_variation": np.abs(labels - 0.5).sum() / 2,
        "entropy": stats.entropy(share, axis=1).mean(),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-3), name

    def kernel(a, b):
        return (a @ b.T / 3 + 1) ** 3

    own, other = kernel(fake, fake), kernel(real, real)
    within = (own.sum() - np.trace(own)) / (300 * 299) + (other.sum() - np.trace(other)) / (
        400 * 399
    )
    # 100 subsets of 300 of the 400 real ones.
    assert found["kkid"] == pytest.approx(within - 2 * kernel(real, fake).mean(), rel=0.15)
    assert set(found) == set(expected) | {"kkid"}
    copies = evaluate.measure_samples(ref.splits["train"]["image"][:300], ref, seed=4)
    assert copies["memorisation"] < 1e-3
    for name in ("kfid", "kkid", "density", "recall", "coverage", "entropy"):
        assert abs(copies[name] - found[name]) > 0.03 * abs(found[name]), name


def test_the_kernel_distance_is_of_more_samples_than_are_compared(ref):
    """Of 400 test images and 2,000 samples: steadier, and no nearer or farther on average."""
    rng, counts = np.random.default_rng(7), []
    test = flat(ref.splits["test"]["image"])
    assert (ref.compared, ref.drawn) == (len(test), 2000) and len(test) == 400
    assert dataclasses.replace(ref, test_features=np.zeros((3000, 3))).drawn == 3000

    def law(count):
        counts.append(count)
        return (0.6 * test[rng.integers(400, size=count)] + 0.3).reshape(-1, *SHAPE)

    many = law(2000)
    found, few = (evaluate.measure_samples(x, ref, seed=4) for x in (many, many[:400]))
    assert found.pop("kkid") != few.pop("kkid")
    assert found == pytest.approx(few, nan_ok=True)

    def spread(count):
        return np.std([evaluate.measure_samples(law(count), ref, seed=4)["kkid"] for _ in range(8)])

    assert spread(2000) < 0.7 * spread(400)
    counts.clear()
    coder = plain()._replace(
        sources={"normal": lambda count, rng: law(count).reshape(-1, 4)[:, :2]}
    )
    evaluate.measure_coder(coder, ref, ["normal"], seed=4)
    assert counts == [2000]


def test_no_more_test_images_than_most_are_compared(ref, monkeypatch):
    monkeypatch.setattr(evaluate, "MOST", 200)
    small = evaluate.reference(ref.splits, classify)
    assert small.compared == len(small.test_features) == 200
    assert dataclasses.replace(ref, test_features=ref.test_features[:90]).compared == 90
    np.testing.assert_array_equal(
        small.test_features, classify(ref.splits["test"]["image"])[1][:200]
    )


@pytest.mark.parametrize(
    ("path", "unit"),
    (
        ("nll/k=100", "nats"),
        ("probe/all", "accuracy"),
        ("gmm/entropy", "nats"),
        ("psnr", "dB"),
        ("gmm/kfid", ""),
    ),
)
def test_a_units_name_is_found_anywhere_in_a_path(path, unit):
    assert evaluate.unit(path) == unit


def test_pictures_show_no_more_than_two_thousand_codes():
    many = evaluate.reference({"train": data(1500, 0), "test": data(2100, 1)}, classify)
    _, arrays = evaluate.measure_coder(plain(), many, [], seed=4)
    x = flat(many.splits["test"]["image"])[:2000]
    np.testing.assert_array_equal(arrays["latent"], x[:, :2].astype(np.float32))
    np.testing.assert_array_equal(arrays["label"], many.splits["test"]["label"][:2000])
