"""The handwritten digits that scikit-learn carries along: no download."""

import numpy as np


def read() -> dict[str, np.ndarray]:
    """All 1797 images, float32 [1797, 8, 8, 1] in [0, 1], and labels int32 [1797].

    Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI repository: the 17
    grey levels 0 ... 16 count the ink in 4x4 blocks of a 32x32 bitmap.
    """
    from sklearn.datasets import load_digits

    pixels, label = load_digits(return_X_y=True)
    image = np.divide(pixels.reshape(-1, 8, 8, 1), 16, dtype=np.float32)
    return {"image": image, "label": label.astype(np.int32)}
