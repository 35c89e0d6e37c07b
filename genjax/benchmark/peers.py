"""The PyTorch peers of training: loops of the same nets, and pythae's likelihood.

Each loop once as it is and once with all but the optimizer compiled (torch.compile); optimizers are
fused. They run in a process of their own, which alone imports torch (requirements-peers.txt), on
all cores. Each function raises ImportError where a package is missing.
"""

# The peers are no dependencies of genjax.
# pyright: reportMissingImports=false

import os
from collections.abc import Callable

import numpy as np

from genjax.benchmark.harness import Row
from genjax.benchmark.sizes import Autoencoders, Decoder, Game
from genjax.core.errors import one_line
from genjax.core.progress import say

LOOPS = EAGER, COMPILED = "PyTorch eager", "torch.compile"


def _torch():
    """PyTorch on all cores."""
    # It compiles in this process: one that is a daemon's may have no others.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    return torch


def _both(make: Callable[[Callable], Row], length: str = "") -> dict[str, Row]:
    """The row that `make` gives of a way to compile functions: none, and torch's.

    The latter runs once: where it cannot, as without a compiler of C++, it is left out in a line.
    """
    import torch

    rows, compiled = {EAGER + length: make(lambda function: function)}, make(torch.compile)
    try:
        compiled.run()
    except Exception as error:
        say(f"no row of {COMPILED}{length}: {one_line(error)[:150]}")
        return rows
    return rows | {COMPILED + length: compiled}


def gan_rows(size: Game) -> dict[str, Row]:
    """PacGAN's protocol, Adam: steps a second."""
    _torch()
    return _both(lambda wrap: _game(size, wrap))


def _game(size: Game, wrap: Callable) -> Row:
    torch = _torch()
    nn, soft = torch.nn, torch.nn.functional.softplus

    class Maxout(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.linear = nn.Linear(inputs, size.d_width * size.pieces)

        def forward(self, x):
            return self.linear(x).view(len(x), size.pieces, size.d_width).amax(1)

    layers, width = [], 2
    for _ in range(size.g_depth):
        layers += [
            nn.Linear(width, size.g_width, bias=False),
            nn.BatchNorm1d(size.g_width),
            nn.ReLU(),
        ]
        width = size.g_width
    maker = nn.Sequential(*layers, nn.Linear(width, 2))
    judge = nn.Sequential(
        Maxout(2),
        *[Maxout(size.d_width) for _ in range(size.d_depth - 1)],
        nn.Linear(size.d_width, 1),
    )
    adam = [
        torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.8, 0.999), fused=True)
        for net in (maker, judge)
    ]
    points = torch.randn(size.points, 2)
    index = torch.randint(len(points), (size.steps, size.packs))

    @wrap
    def made():
        return maker(torch.randn(size.packs, 2))

    @wrap
    def told_apart(real, fake):
        logits = judge(torch.cat([real, fake]))
        return (soft(-logits[: size.packs]) + soft(logits[size.packs :])).mean()

    @wrap
    def fooled(fake):
        return soft(-judge(fake)).mean()

    def train():
        for rows in index:
            fake = made()
            d_loss = told_apart(points[rows], fake.detach())
            # Both gradients from the same point; the discriminator's own stays clean of G's.
            d_grads = torch.autograd.grad(d_loss, list(judge.parameters()))
            g_grads = torch.autograd.grad(fooled(fake), list(maker.parameters()))
            for net, grads in ((maker, g_grads), (judge, d_grads)):
                for parameter, grad in zip(net.parameters(), grads, strict=True):
                    parameter.grad = grad
            for optimizer in adam:
                optimizer.step()

    return Row(train, len(index), "steps/s")


def vae_rows(size: Autoencoders) -> dict[str, Row]:
    """The loops, and pythae's get_nll, of the same net: images a second."""
    torch, net = _torch(), size.net
    (hidden,), latent, side = net.hidden, net.latent, net.side
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    data = torch.from_numpy(np.random.default_rng(0).random((net.images, net.pixels), np.float32))

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(net.pixels, hidden)
            self.mean = torch.nn.Linear(hidden, latent)
            self.log_var = torch.nn.Linear(hidden, latent)

        def forward(self, x):
            h = torch.relu(self.hidden(x.reshape(len(x), -1)))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(latent, hidden)
            self.pixels = torch.nn.Linear(hidden, net.pixels)

        def logits(self, z):
            return self.pixels(torch.relu(self.hidden(z)))

        def forward(self, z):
            pixels = torch.sigmoid(self.logits(z)).reshape(len(z), 1, side, side)
            return ModelOutput(reconstruction=pixels)

    index = torch.from_numpy(np.random.default_rng(1).integers(0, len(data), (100, net.batch)))

    def loop(wrap):
        encoder, decoder = Encoder(), Decoder()
        optimizer = torch.optim.Adam(
            [*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True
        )

        @wrap
        def loss(x):
            code = encoder(x)
            mean, log_var = code.embedding, code.log_covariance
            z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
            bce = torch.nn.functional.binary_cross_entropy_with_logits(
                decoder.logits(z), x, reduction="sum"
            )
            kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
            return (bce + kl) / net.batch

        def train():
            for rows in index:
                optimizer.zero_grad(set_to_none=True)
                loss(data[rows]).backward()
                optimizer.step()

        return Row(train, index.numel(), "images/s")

    config = VAEConfig(input_dim=(1, side, side), latent_dim=latent, reconstruction_loss="bce")
    vae = VAE(config, encoder=Encoder(), decoder=Decoder())
    shown = data[:2].reshape(-1, 1, side, side)

    def nll():
        with torch.no_grad():
            vae.get_nll(shown, n_samples=size.nll_samples, batch_size=100)

    return _both(loop) | {"pythae get_nll": Row(nll, len(shown), "images/s")}


def lm_rows(size: Decoder, lengths: tuple[int, ...]) -> dict[str, Row]:
    """Decoders of every length: pre-norm, rotary positions, SDPA, tied embeddings, clipping, AdamW.

    Tokens a second.
    """
    found = {}
    for n in lengths:
        found |= _both(lambda wrap, n=n: _decoder(size, n, wrap), f" {n}")
    return found


def _decoder(size: Decoder, length: int, wrap: Callable) -> Row:
    torch = _torch()
    nn, functional = torch.nn, torch.nn.functional
    dim = size.width // size.heads
    rates = 10_000.0 ** (-torch.arange(dim // 2) / (dim // 2))
    angles = torch.arange(length)[:, None] * rates
    cos, sin = angles.cos(), angles.sin()

    def rotate(x):
        left, right = x.chunk(2, -1)
        return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)

    def linear(inputs, outputs):
        return nn.Linear(inputs, outputs, bias=False)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.RMSNorm(size.width), nn.RMSNorm(size.width)
            self.qkv, self.out = linear(size.width, 3 * size.width), linear(size.width, size.width)
            self.up, self.down = (
                linear(size.width, 4 * size.width),
                linear(4 * size.width, size.width),
            )

        def forward(self, x):
            qkv = self.qkv(self.first(x)).view(size.batch, length, 3, size.heads, dim)
            q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
            seen = functional.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
            return x + self.down(functional.relu(self.up(self.second(x))))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(size.vocabulary, size.width)
            self.blocks = nn.Sequential(*[Block() for _ in range(size.depth)])
            self.norm = nn.RMSNorm(size.width)

        def forward(self, tokens):
            x = self.blocks(self.embed(tokens) * size.width**0.5)
            return self.norm(x) @ self.embed.weight.T

    model = Decoder()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, fused=True)
    windows = torch.randint(0, size.vocabulary - 1, (size.batch, length + 1))

    @wrap
    def loss(tokens, target):
        return functional.cross_entropy(model(tokens).flatten(0, 1), target.flatten())

    def train():
        for _ in range(size.steps):
            optimizer.zero_grad()
            loss(windows[:, :-1], windows[:, 1:]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    return Row(train, size.steps * size.batch * length, "tokens/s")
