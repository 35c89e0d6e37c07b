"""Train, valid and test by content: what is the same lies on one side, whatever its name."""

import hashlib
from collections import deque
from collections.abc import Sequence

import numpy as np

TRAIN, VALID, TEST = range(3)


def by_content(
    digests: Sequence[bytes],
    sizes: Sequence[int],
    *,
    test: float,
    valid: float,
    seed: int = 0,
) -> np.ndarray:
    """The part, TRAIN, VALID or TEST, of each example: int [n].

    Contents are ordered by a hash of `seed` and their digest: whatever the order and the names of
    files, and on every machine, the same. The first go to test until it holds the share `test` of
    the sizes' sum, the next to valid likewise. Of three contents or more each part has one.
    """
    total = {digest: 0 for digest in digests}
    for digest, size in zip(digests, sizes, strict=True):
        total[digest] += size
    left = deque(sorted(total, key=lambda one: hashlib.sha256(b"%d:" % seed + one).digest()))
    part_of = dict.fromkeys(left, TRAIN)
    for part, share, spare in ((TEST, test, 2), (VALID, valid, 1)):
        held = 0
        while held < share * sum(sizes) and len(left) > spare:
            digest = left.popleft()
            part_of[digest] = part
            held += total[digest]
    return np.array([part_of[digest] for digest in digests], int)
