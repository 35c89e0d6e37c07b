"""What the tests of autoencoders' measures share."""

import pytest
from linear_gaussian import classify, data

from genjax.vae import evaluate


@pytest.fixture(scope="module")
def ref():
    return evaluate.reference({"train": data(1500, 0), "test": data(400, 1)}, classify)
