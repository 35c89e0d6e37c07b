"""Measures of reconstructions and samples, on pixels or on a classifier's features."""

import functools
import threading

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist


def frechet_distance(a: Float[np.ndarray, "n f"], b: Float[np.ndarray, "m f"]) -> float:
    """Squared 2-Wasserstein distance of the Gaussians fitted to two sets of features; 0 is best.

    Heusel et al. 2017, eq. 6. The trace of (S_a S_b)^(1/2) comes from the eigenvalues of the
    symmetric S_a^(1/2) S_b S_a^(1/2), so that covariances without full rank do no harm.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    cov_a, cov_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    cross = np.linalg.eigvalsh(root @ cov_b @ root)
    mean = ((a.mean(0) - b.mean(0)) ** 2).sum()
    trace = np.trace(cov_a) + np.trace(cov_b) - 2 * np.sqrt(np.maximum(cross, 0)).sum()
    return float(mean + trace)


class Cloud:
    """Points [n, f] that many sets are compared with: what hangs on them alone is computed once.

    neighbours: the largest k of `radii`.
    """

    def __init__(self, points: Float[np.ndarray, "n f"], neighbours: int = 5):
        self.points, self.neighbours = points, neighbours
        self._radii: dict[int, np.ndarray] = {}
        self._subsets: dict[tuple, tuple] = {}
        self._lock = threading.Lock()

    @functools.cached_property
    def _nearest(self) -> np.ndarray:
        from sklearn.neighbors import NearestNeighbors

        count = min(self.neighbours, len(self.points) - 1)
        found = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(self.points)
        # Without query points, a point is no neighbour of its own.
        return found.kneighbors(return_distance=False)

    def radii(self, k: int) -> np.ndarray:
        """The distance of each point to its k-th neighbour, or the last where there are fewer."""
        if k not in self._radii:
            points, last = self.points, self._nearest[:, min(k, len(self.points) - 1) - 1]
            # scikit-learn's distances differ from cdist's in the last digit, which decides about a
            # copy of the k-th neighbour: it lies on the ball's surface.
            found = [cdist(points[[i]], points[[j]])[0, 0] for i, j in enumerate(last)]
            self._radii[k] = np.array(found)
        return self._radii[k]

    def subsets(self, others: int, subsets: int, size: int, seed: int) -> tuple:
        """(which of these points, which of so many others, `_within` of the former), by subset."""
        key = others, subsets, size, seed
        with self._lock:  # Threads that ask for the same ones wait for the first.
            if key not in self._subsets:
                rng, counts = np.random.default_rng(seed), (len(self.points), others)
                drawn = [
                    [rng.choice(n, size, replace=False) for n in counts] for _ in range(subsets)
                ]
                own, other = np.swapaxes(drawn, 0, 1)
                self._subsets[key] = own, other, _within(self.points.astype(np.float64), own)
            return self._subsets[key]


def _within(points, subsets):
    """`_sums` of each subset with itself, without the pairs of a point and itself."""
    alone = (np.einsum("nf,nf->n", points, points) / points.shape[1] + 1) ** 3
    return _sums(points, points, subsets, subsets) - alone[subsets].sum(1)


def _sums(u, v, rows, columns):
    """Sums of the kernel (x.y / f + 1)^3 over the pairs of subsets: rows [s, a] of u [n, f] and
    columns [s, b] of v [m, f] -> [s].

    Where all points have far fewer pairs than all subsets together, each pair is computed once; a
    pair's share in every subset then costs as much as the pair, about.
    """
    if rows.size * columns.shape[1] < 2 * len(u) * len(v):
        # A buffer of that size is fresh pages each time, which take longer than the products.
        buffers = np.empty((2, rows.shape[1], columns.shape[1]))
        return np.array([
            _cubes(u[own], v[other], *buffers).sum()
            for own, other in zip(rows, columns, strict=True)
        ])  # fmt: skip
    left, right = np.zeros((len(rows), len(u))), np.zeros((len(rows), len(v)))
    np.put_along_axis(left, rows, 1, 1)
    np.put_along_axis(right, columns, 1, 1)
    sums, buffers = np.zeros_like(right), np.empty((2, CACHED, len(v)))
    for first in range(0, len(u), CACHED):
        some = u[first : first + CACHED]
        sums += left[:, first : first + CACHED] @ _cubes(some, v, *buffers[:, : len(some)])
    return np.einsum("sv,sv->s", sums, right)


# Rows whose pairs stay in the cache.
CACHED = 50


def _cubes(u, v, base, cube):
    """The kernel of all pairs, in `cube`; both buffers are overwritten."""
    np.matmul(u, v.T, out=base)
    for first in range(0, len(base), CACHED):
        some, made = base[first : first + CACHED], cube[first : first + CACHED]
        some /= u.shape[1]
        some += 1
        # NumPy's general power takes some ten times as long as two products.
        np.multiply(some, some, out=made)
        made *= some
    return cube


def kernel_distance(
    a: Float[np.ndarray, "n f"] | Cloud,
    b: Float[np.ndarray, "m f"],
    *,
    subsets: int = 100,
    subset_size: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased squared MMD; 0 for equal laws.

    Kernel (x.y / f + 1)^3 (Binkowski et al. 2018, section 4, KID). Where there are no more than
    `subset_size` features, all of them are taken once, and the deviation is 0.
    """
    a = a if isinstance(a, Cloud) else Cloud(a)
    left, b = a.points.astype(np.float64), b.astype(np.float64)
    size = min(subset_size, len(left), len(b))
    if size == max(len(left), len(b)):
        subsets = 1
    own, other, within_a = a.subsets(len(b), subsets, size, seed)
    values = (within_a + _within(b, other)) / (size * (size - 1))
    values -= 2 * _sums(left, b, own, other) / size**2
    return float(values.mean()), float(values.std())


def precision_recall_density_coverage(
    real: Float[np.ndarray, "n f"] | Cloud,
    fake: Float[np.ndarray, "m f"],
    k: int | tuple[int, int] = 5,
) -> dict[str, float]:
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

    k: the neighbours; of two numbers the second is that of density and coverage.

    A point lies in a ball up to and including its radius, the distance to the k-th neighbour in
    its own set; with `<` a collapsed set, whose radii are 0, would lie in no ball at all. The same
    set twice gives 1, 1, (k + 1) / k and 1 where no distances tie. For equal laws precision and
    recall stay well below 1 in many dimensions: read them beside the floor.
    """
    few, many = k if isinstance(k, tuple) else (k, k)
    real = real if isinstance(real, Cloud) else Cloud(real, max(few, many))
    around_fake = Cloud(fake, few).radii(few)
    precise = np.zeros(len(fake), bool)
    recalled, counts = np.zeros(len(real.points), bool), np.zeros(len(real.points), np.int64)
    for rows, within in _pairs(real.points, fake):
        inside = within(real.radii(few)[rows, None])
        precise |= inside.any(0)
        wide = inside if few == many else within(real.radii(many)[rows, None])
        counts[rows] = np.count_nonzero(wide, 1)
        recalled[rows] = within(around_fake[None]).any(1)
    return {
        "precision": float(precise.mean()),
        "recall": float(recalled.mean()),
        "density": float(counts.sum() / len(fake) / many),
        "coverage": float((counts > 0).mean()),
    }


# Pairs that are looked at together: their distances stay in the cache.
TOGETHER = 2**21


def _pairs(left, right):
    """(rows, within) of all pairs by some rows of the left points.

    within: limits, broadcast to [rows, right] -> whether cdist's distance is at most the limit.
    The squares come from products in float32, whose rounding is bounded; of the pairs that it
    leaves open the distance itself is computed.
    """
    # Of squares beyond float32 everything is left open.
    quiet = functools.partial(np.errstate, over="ignore", invalid="ignore")
    with quiet():
        middle = left.mean(0)
        a, b = ((points - middle).astype(np.float32) for points in (left, right))
        squares = [np.einsum("nf,nf->n", points, points)[:, None] for points in (a, b)]
        slack = sum(float(s.max()) for s in squares)
        slack *= 2 * (a.shape[1] + 8) * float(np.finfo(np.float32).eps)
    one = [np.ones_like(s) for s in squares]
    a = np.concatenate([-2 * a, squares[0], one[0]], 1)
    b = np.concatenate([b, one[1], squares[1]], 1).T

    def some(rows):
        with quiet():
            found = a[rows] @ b

        def within(limits):
            with quiet():
                ends = limits**2 - slack, limits**2 + slack
                least, most = (end.astype(np.float32) for end in ends)
            inside, near = found <= least, ~(found > most)  # Of nan too it must be decided.
            if np.count_nonzero(near) > np.count_nonzero(inside):
                open_ = near & ~inside
                limits = np.broadcast_to(limits, found.shape)
                for i in np.flatnonzero(open_.any(1)):
                    which = np.flatnonzero(open_[i])
                    distance = cdist(left[[rows[i]]], right[which])[0]
                    inside[i, which] = distance <= limits[i, which]
            return inside

        return within

    for rows in np.array_split(np.arange(len(left)), -(-len(left) * len(right) // TOGETHER)):
        if len(rows):
            yield rows, some(rows)


# A median of so many is known within some 2%, and each is compared with all training images.
MEDIAN_OF = 1000


def nearest_distance(
    train: "Float[np.ndarray, 'n p'] | Search", images: Float[np.ndarray, "m p"]
) -> float:
    """Median distance of images, the first 1,000, to the nearest training image; Euclidean."""
    search = train if isinstance(train, Search) else Search(train)
    return float(np.median(search.nearest(images[:MEDIAN_OF])))


class Search:
    """Points [n, p] among which the nearest ones are looked for, exactly.

    Coordinates along some orthonormal directions, and the norm of what they leave, are a map that
    lengthens no distance. So only points that it brings as near as the best found are compared in
    full: some ten of MNIST's 55,000 images.
    """

    # Those along which the first points vary most, about; and the share of points that are compared
    # one by one, rather than all at once.
    DIRECTIONS, FIRST, FEW = 64, 5000, 0.02

    def __init__(self, points: Float[np.ndarray, "n p"]):
        self.points = points
        self._middle = points[: self.FIRST].mean(0)
        first = (points[: self.FIRST] - self._middle).astype(np.float64)
        count = min(self.DIRECTIONS, *first.shape)
        some = np.random.default_rng(0).standard_normal((first.shape[1], count))
        for _ in range(2):  # Powers of the covariance.
            some = np.linalg.qr(first.T @ (first @ some))[0]
        self._directions = some.astype(np.float32)
        mapped, self._squares = self._map(points)
        self._mapped = -2 * mapped.T

    def _map(self, points):
        """The points mapped [n, DIRECTIONS + 1], and their squared norms."""
        made = np.empty((len(points), self._directions.shape[1] + 1), np.float32)
        for rows in np.array_split(np.arange(len(points)), -(-len(points) // self.FIRST)):
            moved = (points[rows] - self._middle).astype(np.float32)
            made[rows, :-1] = moved @ self._directions
            rest = moved - made[rows, :-1] @ self._directions.T
            made[rows, -1] = np.sqrt(np.einsum("np,np->n", rest, rest))
        return made, np.einsum("nd,nd->n", made, made)

    def nearest(self, images: Float[np.ndarray, "m p"]) -> Float[np.ndarray, " m"]:
        """The distance of each image to the nearest point."""
        mapped, squares = self._map(images)
        # Of all roundings in float32, the directions' own among them.
        size = self.points.shape[1] + mapped.shape[1] + 16
        slack = 4 * size * np.finfo(np.float32).eps * (squares.max() + self._squares.max())
        found, far = np.empty(len(images)), []
        for rows in np.array_split(
            np.arange(len(images)), -(-len(images) * len(self.points) // TOGETHER)
        ):
            least = mapped[rows] @ self._mapped
            least += self._squares
            least += squares[rows, None]
            for i, bounds in zip(rows, least, strict=True):
                best = self._compared(images[i], [bounds.argmin()])
                which = np.flatnonzero(bounds <= best**2 + slack)
                if len(which) > max(100, self.FEW * len(self.points)) or not np.isfinite(slack):
                    far.append(i)
                else:
                    found[i] = self._compared(images[i], which)
        if far:
            from sklearn.neighbors import NearestNeighbors

            every = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(self.points)
            found[far] = every.kneighbors(images[far])[0][:, 0]
        return found

    def _compared(self, image, which) -> float:
        apart = self.points[which].astype(np.float64) - image
        return float(np.sqrt(np.einsum("np,np->n", apart, apart).min()))


def class_balance(probabilities: Float[np.ndarray, "n c"]) -> dict[str, float]:
    """How a classifier sees the samples.

    total_variation: of the predicted labels' frequencies from uniform, in [0, 1]. entropy: mean
    over samples of the predictive distribution's entropy in nats; low for confident pictures.
    """
    n, classes = probabilities.shape
    shares = np.bincount(probabilities.argmax(1), minlength=classes) / n
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    return {
        "total_variation": float(0.5 * np.abs(shares - 1 / classes).sum()),
        "entropy": float(-(p * np.log(p)).sum(1).mean()),
    }


def reconstruction_errors(
    images: Float[np.ndarray, " n *pixels"], rebuilt: Float[np.ndarray, " n *pixels"]
) -> dict[str, float]:
    """Errors of reconstructions of images in [0, 1].

    mse: mean squared error a pixel. psnr: -10 log10(mse) in dB by image, at most 120, then the
    mean. bce: cross-entropy of the reconstruction's pixels, clipped to [1e-6, 1 - 1e-6], in nats.
    """
    squared, entropies = np.empty(len(images)), np.empty(len(images))
    for rows in np.array_split(np.arange(len(images)), -(-len(images) // 500)):
        x, y = (v[rows].reshape(len(rows), -1).astype(np.float64) for v in (images, rebuilt))
        squared[rows] = ((x - y) ** 2).mean(1)
        p = np.clip(y, 1e-6, 1 - 1e-6)
        entropies[rows] = (x * np.log(p) + (1 - x) * np.log1p(-p)).sum(1)
    return {
        "mse": float(squared.mean()),
        "psnr": float((-10 * np.log10(np.maximum(squared, 1e-12))).mean()),
        "bce": float(-entropies.mean()),
    }
