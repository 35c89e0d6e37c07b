"""The handwritten digits that scikit-learn carries along: no download."""

import numpy as np

from genjax.data import rows

# A byte each, which the grey levels are divided by.
LEVELS = 16


def read(*, stay: bool = False) -> dict:
    """All 1797 images, float32 [1797, 8, 8, 1] in [0, 1], and labels int32 [1797].

    stay: images as `rows.Rows`.

    Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI repository: the 17
    grey levels 0 ... 16 count the ink in 4x4 blocks of a 32x32 bitmap.
    """
    from sklearn.datasets import load_digits

    pixels, label = load_digits(return_X_y=True)
    image = np.divide(pixels.reshape(-1, 8, 8, 1), LEVELS, dtype=np.float32)
    if stay:
        image = rows.in_memory(image, LEVELS)
    return {"image": image, "label": label.astype(np.int32)}
