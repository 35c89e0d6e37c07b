"""Variants as a library: imported by name, options refused, and a new one by one file."""

import importlib
import inspect
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from genjax import attention
from genjax.attention import blocks
from genjax.attention import variants as attention_files
from genjax.core.errors import UsageError
from genjax.scaling.config import Config

# Rows of tables and colours of pictures go by it.
ORDER = (
    "full",
    "flash",
    "truncated",
    "sparse_strided",
    "sparse_fixed",
    "longformer",
    "bigbird",
    "linformer",
    "performer",
    "linear",
    "reformer",
)

# The one file of a new variant: each query sees the key at its own position alone.
TOY = '''
from genjax.attention.registry import register
from genjax.attention.variant import Cost, Variant


@register(short=lambda length: {"times": 2})
def toy(length: int, head_dim: int, *, causal: bool = False, times: int = 1) -> Variant:
    """times: what the values are multiplied by."""

    def attend(q, k, v, *, mask=None, extra=None):
        return v * times

    return Variant(attend, Cost(float(length * head_dim), 0.0))
'''


def test_variants_are_imported_by_name():
    from genjax.attention import longformer

    variant = longformer(8, 4, window=4)
    i, j = np.mgrid[:8, :8]
    np.testing.assert_array_equal(blocks.dense_mask(variant.pattern) > 0, np.abs(i - j) <= 2)
    assert not variant.causal and longformer(8, 4, window=4, causal=True).causal


@pytest.mark.parametrize("name", attention.VARIANTS)
def test_a_variant_is_the_function_of_its_file(name):
    module = importlib.import_module(f"genjax.attention.variants.{name}")
    function = getattr(attention, name)
    assert function is getattr(module, name) is attention.find(name).make
    assert function.__name__ == name and function.__doc__


def test_the_order_of_variants_stays():
    assert tuple(name for name in attention.VARIANTS if name in ORDER) == ORDER


@pytest.mark.parametrize("name", attention.VARIANTS)
def test_every_variant_accepts_the_common_signature(name):
    entry = attention.find(name)
    first, second, *others = inspect.signature(entry.make).parameters.values()
    assert (first.name, second.name) == ("length", "head_dim")
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in others)
    assert {p.name for p in others} == {"causal", *attention.options(name)}
    assert attention.options(name) == entry.options
    assert {*entry.short(64)} <= {*entry.options}
    q = jnp.ones((2, 64, 3, 4))
    for causal in entry.causal:
        variant = attention.build(name, 64, 4, causal=causal)
        assert variant.causal == causal
        extra = variant.init(jax.random.key(0))
        out = jax.eval_shape(
            lambda q, e, v=variant: v.attend(q, q, q, mask=None, extra=e), q, extra
        )
        assert out.shape == q.shape and out.dtype == q.dtype
        assert min(variant.cost) > 0
    # Without `causal` as well.
    assert entry.make(64, 4).causal in entry.causal
    for causal in {False, True} - {*entry.causal}:
        with pytest.raises(UsageError, match=f"--variants={name}: is (not )?causal"):
            entry.make(64, 4, causal=causal)


def test_an_unknown_option_is_a_type_error():
    with pytest.raises(TypeError, match="longformer.*windwo"):
        attention.longformer(8, 4, windwo=10)


@pytest.mark.parametrize(
    ("name", "option", "said"),
    (
        (
            "longformer",
            "windwo",
            "longformer: windwo: unknown option; did you mean window?",
        ),
        # Others have it, this one has not.
        (
            "performer",
            "window",
            "performer: window: unknown option; choices: features",
        ),
        ("linear", "features", "linear: features: unknown option; choices: none"),
    ),
)
def test_build_refuses_unknown_options_in_one_line(name, option, said):
    with pytest.raises(UsageError) as error:
        attention.build(name, 8, 4, causal=False, **{option: 10})
    assert str(error.value) == said


def test_select_leaves_out_what_is_for_others():
    offered = {"window": 8, "rank": 3, "tile": 16}
    assert attention.select("longformer", **offered) == {"window": 8, "tile": 16}
    assert attention.select("full", **offered) == {}
    with pytest.raises(UsageError, match="attention: windwo: .*did you mean window?"):
        attention.select("full", windwo=8)
    with pytest.raises(UsageError, match="--variants=ful: unknown; did you mean full?"):
        attention.select("ful", window=8)


@pytest.mark.parametrize("name", ("linformer", "performer", "reformer"))
def test_arrays_that_are_needed_are_asked_for(name):
    q = jnp.ones((1, 8, 1, 4))
    with pytest.raises(UsageError, match="variant.init"):
        getattr(attention, name)(8, 4).attend(q, q, q)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A second folder of variants, gone after the test."""
    variants = attention.VARIANTS
    before = dict(variants)
    monkeypatch.setattr(attention_files, "__path__", [*attention_files.__path__, str(tmp_path)])
    yield tmp_path
    variants.clear()
    variants.update(before)
    for name in ("toy", "copied"):
        sys.modules.pop(f"genjax.attention.variants.{name}", None)


def test_a_new_variant_is_one_file(folder):
    (folder / "toy.py").write_text(TOY)
    from genjax.attention import toy

    # Configurations take their choices from here.
    assert attention.variant_names() == (*ORDER, "toy")
    assert [*attention.VARIANTS] == [*ORDER, "toy"]
    assert attention.options("toy") == ("times",) and toy is attention.find("toy").make
    variant = attention.build("toy", 8, 4, causal=True, times=3)
    v = jnp.arange(32.0).reshape(1, 8, 1, 4)
    np.testing.assert_array_equal(variant.attend(v, v, v), 3 * v)
    assert variant.causal
    with pytest.raises(UsageError, match="toy: tmes: unknown option; did you mean times?"):
        attention.build("toy", 8, 4, causal=True, tmes=3)
    # What the experiment asks of a variant.
    from genjax.scaling import cases, training, variants

    assert training.error(variant, v, v, v) > 0.1
    assert cases.of_variant(variant, "both", (1, 8, 1, 4), "float32").flops == 3.5 * 32
    assert variants.build(Config(head_dim=4), "toy", 8).causal is False
    short = variants.scaled(Config(width=8), "toy", 8)
    np.testing.assert_array_equal(short.attend(v, v, v), 2 * v)


def test_a_variant_has_the_name_of_its_file(folder):
    (folder / "copied.py").write_text(TOY.replace("def toy", "def full"))
    with pytest.raises(ValueError, match="variants.copied: full has not the name of its file"):
        _ = attention.VARIANTS


def test_configurations_know_the_variants_without_jax():
    code = (
        "import sys; from genjax import domains, scaling; "
        "print(len(scaling.Config().variants), domains.Config().attention, 'jax' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == [str(len(ORDER)), "flash", "False"]
