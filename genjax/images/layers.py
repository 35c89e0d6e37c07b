"""Linen building blocks: fully connected stacks, Gaussian heads, and the ends that touch pixels."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen.dtypes import promote_dtype
from jax.typing import DTypeLike

ACTIVATIONS = {"relu": nn.relu, "tanh": nn.tanh, "gelu": nn.gelu, "elu": nn.elu}
# The longest side of what `convolution` makes of patches.
MOST_PIXELS = 4


def dense(width: int, dtype: DTypeLike, name: str | None = None) -> nn.Dense:
    """A linear layer with Glorot's uniform initialisation (Glorot & Bengio 2010, eq. 16)."""
    init = nn.initializers.xavier_uniform()
    return nn.Dense(width, dtype=dtype, kernel_init=init, name=name, dot_general=by_rows)


class Stack(nn.Module):
    """Dense layers of the given widths, an activation after each: [..., n] -> [..., widths[-1]]."""

    widths: tuple[int, ...]
    activation: str
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x):
        for width in self.widths:
            x = ACTIVATIONS[self.activation](dense(width, self.dtype)(x))
        return x


class GaussianHead(nn.Module):
    """Mean and log standard deviation of a diagonal Gaussian, each [..., size], in float32."""

    size: int
    dtype: DTypeLike

    @nn.compact
    def __call__(self, h):
        # One product for both: XLA:CPU takes as long for 20 columns as for 40.
        parts = [_Linear(self.size, name=name)(h.shape[-1]) for name in ("mean", "log_std")]
        kernel, bias = (jnp.concatenate(both, -1) for both in zip(*parts, strict=True))
        h, kernel, bias = promote_dtype(h, kernel, bias, dtype=self.dtype)
        made = (product(h, kernel) + bias).astype(jnp.float32)
        return made[..., : self.size], made[..., self.size :]


class _Linear(nn.Module):
    """The kernel and bias of `dense`, by its names: of how many inputs -> both."""

    size: int

    @nn.compact
    def __call__(self, inputs):
        init = nn.initializers.xavier_uniform()
        kernel = self.param("kernel", init, (inputs, self.size))
        return kernel, self.param("bias", nn.initializers.zeros, (self.size,))


class Upsample(nn.Module):
    """A transposed convolution of stride 2, `SAME`: [b, h, w, n] -> [b, 2 h, 2 w, features]."""

    features: int
    size: int
    use_bias: bool = True
    dtype: DTypeLike | None = None
    kernel_init: Callable = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, h):
        shape = (self.size, self.size, h.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        h, kernel, bias = promote_dtype(h, kernel, bias, dtype=self.dtype)
        if jax.default_backend() == "cpu":
            h = upsample(h, kernel)
        else:
            h = jax.lax.conv_transpose(h, kernel, (2, 2), "SAME")
        return h if bias is None else h + bias


def upsample(h: jax.Array, kernel: jax.Array) -> jax.Array:
    """The same as an ordinary convolution that makes four pixels at once (Shi et al. 2016, fig. 3).

    XLA:CPU takes four times as long for the gradient of a kernel over a widened image.
    h: [b, height, width, n]; kernel: [size, size, n, features], size at least 2.
    """
    size, features = kernel.shape[0], kernel.shape[-1]
    before = -(-size // 2)
    reach = before // 2, (size - before) // 2
    count, odd = sum(reach) + 1, before % 2
    padded = jnp.pad(kernel, (*[(1, 2 * count - 1 + odd - size)] * 2, (0, 0), (0, 0)))

    def cut(kernel, axis):
        """Pixel 2 i + p takes the kernel's entry 2 d - p + before from pixel i + d of h: [d, p]."""
        starts = (1 + odd, odd)
        every = [
            jax.lax.slice_in_dim(kernel, start, start + 2 * count - 1, 2, axis) for start in starts
        ]
        return jnp.stack(every, axis + 1)

    parts = cut(cut(padded, 1), 0).transpose(0, 2, 4, 1, 3, 5)
    parts = parts.reshape(count, count, -1, 4 * features)
    dimensions = ("NHWC", "HWIO", "NHWC")
    h = convolution(h, parts, (1, 1), (reach, reach), dimension_numbers=dimensions)
    batch, height, width, _ = h.shape
    h = h.reshape(batch, height, width, 2, 2, features).transpose(0, 1, 3, 2, 4, 5)
    return h.reshape(batch, 2 * height, 2 * width, features)


def convolution(h: jax.Array, kernel: jax.Array, strides, padding, **how) -> jax.Array:
    """jax.lax.conv_general_dilated of images, neither dilated nor in groups (`how` is the rest).

    On CPU small results are products of patches: XLA:CPU takes up to a hundred times as long for
    wide kernels over images of few pixels. h: [b, height, width, n]; kernel: [rows, columns, n,
    features].
    """
    rows, columns = kernel.shape[:2]
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads(h.shape[1:3], (rows, columns), strides, padding)
    padded = [side + sum(more) for side, more in zip(h.shape[1:3], padding, strict=True)]
    height, width = (
        (side - size) // stride + 1
        for side, size, stride in zip(padded, (rows, columns), strides, strict=True)
    )
    if jax.default_backend() != "cpu" or max(height, width) > MOST_PIXELS:
        return jax.lax.conv_general_dilated(h, kernel, strides, padding, **how)
    h = jnp.pad(h, ((0, 0), *padding, (0, 0)))
    down, right = strides
    patches = [
        h[:, i : i + down * height : down, j : j + right * width : right]
        for i in range(rows)
        for j in range(columns)
    ]
    return jnp.concatenate(patches, -1) @ kernel.reshape(-1, kernel.shape[-1])


class PixelEncoder(nn.Module):
    """Images [batch, height, width, channels] -> features [batch, hidden[-1]]."""

    arch: str
    hidden: tuple[int, ...]
    channels: int
    activation: str
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x):
        if self.arch == "conv":
            for channels in (self.channels, 2 * self.channels):
                x = nn.Conv(channels, (4, 4), strides=2, dtype=self.dtype)(x)
                x = ACTIVATIONS[self.activation](x)
        x = x.reshape(x.shape[0], -1)
        return Stack(self.hidden, self.activation, self.dtype)(x)


class PixelDecoder(nn.Module):
    """Latents [..., latent] -> logits [..., height, width, channels], in float32.

    The bias of each pixel starts at the logit of `pixel_mean`, the training images' mean (Burda et
    al. 2016, section 5), so that training starts at the marginal and not at grey.
    """

    arch: str
    hidden: tuple[int, ...]
    channels: int
    activation: str
    dtype: DTypeLike
    image_shape: tuple[int, int, int]

    @nn.compact
    def __call__(self, z):
        lead = z.shape[:-1]
        h = Stack(self.hidden, self.activation, self.dtype)(z)
        if self.arch == "conv":
            h = self._upsample(h.reshape(-1, h.shape[-1]))
        else:
            h = nn.Dense(
                math.prod(self.image_shape),
                use_bias=False,
                dtype=self.dtype,
                kernel_init=nn.initializers.xavier_uniform(),
                dot_general=by_rows,
            )(h)
        bias = self.param("pixel_bias", nn.initializers.zeros, (math.prod(self.image_shape),))
        h = h.reshape(*lead, -1).astype(jnp.float32) + bias
        return h.reshape(*lead, *self.image_shape)

    def _upsample(self, h):
        height, width, image_channels = self.image_shape
        act = ACTIVATIONS[self.activation]
        # Two stride-2 layers reach the next multiple of four; what is over is cut off.
        rows, columns = -(-height // 4), -(-width // 4)
        h = act(dense(rows * columns * 2 * self.channels, self.dtype)(h))
        h = h.reshape(-1, rows, columns, 2 * self.channels)
        h = act(Upsample(self.channels, 4, dtype=self.dtype)(h))
        h = Upsample(image_channels, 4, use_bias=False, dtype=self.dtype)(h)
        return h[:, :height, :width]


@jax.custom_vjp
def product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x @ kernel, whose gradient by the kernel is x^T dy: [..., n], [n, m] -> [..., m].

    jax's own is the transpose of dy^T x, for which XLA:CPU copies dy first; and with an axis in
    front, even of size 1, the kernel for the gradient by x. A custom rule has no forward mode, so
    it is for nets that nobody asks for a Jacobian.
    """
    return _of_rows(x, kernel)


def _of_rows(x, kernel):
    return (x.reshape(-1, x.shape[-1]) @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def _product_forward(x, kernel):
    return _of_rows(x, kernel), (x, kernel)


def _product_backward(kept, slope):
    x, kernel = kept
    rows, slope = (part.reshape(-1, part.shape[-1]) for part in (x, slope))
    return (slope @ kernel.T).reshape(x.shape), rows.T @ slope


product.defvjp(_product_forward, _product_backward)


def by_rows(x, kernel, dimensions, precision=None):
    """`product` as a net's nn.Dense asks for it."""
    del dimensions, precision
    return product(x, kernel)


def spectral_normalize(params, iterations: int = 8):
    """Divides each kernel by an estimate of its largest singular value (Miyato et al. 2018, eq. 8).

    The estimate comes from `iterations` of the power method from a fixed start, so that the
    function stays pure; the paper carries a vector from step to step. It is never above the true
    value: 8 iterations find 92 to 100% of it in normal kernels of many shapes, so that
    their norm ends between 1 and 1.09. Kernels are seen as [inputs, outputs] matrices, as in the
    paper.
    """

    def normalize(path, leaf):
        if path[-1].key != "kernel":
            return leaf
        matrix = leaf.reshape(-1, leaf.shape[-1])
        v = jnp.sin(jnp.arange(1, matrix.shape[1] + 1, dtype=matrix.dtype))
        frozen = jax.lax.stop_gradient(matrix)
        u = jnp.zeros(len(matrix), matrix.dtype)
        for _ in range(iterations):
            u = frozen @ v
            u = u / jnp.linalg.norm(u)
            v = frozen.T @ u
            v = v / jnp.linalg.norm(v)
        return leaf / (u @ matrix @ v)

    return jax.tree_util.tree_map_with_path(normalize, params)
