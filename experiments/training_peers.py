"""The PyTorch peers of benchmark.py: plain loops of the same nets, and pythae's likelihood.

They run in a process of their own. pip install -r requirements-peers.txt
"""

import os
import time
from types import SimpleNamespace

import numpy as np

PIXELS, HIDDEN, LATENT, BATCH, IMAGES = 784, 400, 20, 128, 60_000
NLL_SAMPLES = 5000
# PacGAN's 2-D protocol: width of G's four layers, D's three of maxout units in five pieces, packs.
G_WIDTH, G_DEPTH, D_WIDTH, D_DEPTH, PIECES, PACKS = 400, 4, 200, 3, 5, 100
LM = SimpleNamespace(width=128, depth=4, heads=4, context=256, batch=16, vocabulary=257, steps=2)


def timed(run, per_call: float):
    """seconds -> rate: calls `run` for that long, `per_call` units each."""

    def measure(seconds: float) -> float:
        calls, begun = 0, time.perf_counter()
        while calls == 0 or time.perf_counter() - begun < seconds:
            run()
            calls += 1
        return calls * per_call / (time.perf_counter() - begun)

    return measure


def serve(connection, part: str):
    """Sends the names of a part's rows, then answers each (name, seconds) with its rate.

    Where a package is missing it sends the error in their place, and ends.
    """
    try:
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        torch.manual_seed(0)
        measures = {"vae": vae_rows, "gan": gan_rows, "lm": lm_rows}[part](torch)
    except ImportError as error:
        connection.send(str(error))
        return
    connection.send(list(measures))
    while request := connection.recv():
        name, seconds = request
        connection.send(measures[name](seconds))


def gan_rows(torch):
    """A plain loop of PacGAN's protocol, fused Adam: steps a second."""
    nn, soft = torch.nn, torch.nn.functional.softplus

    class Maxout(nn.Module):
        def __init__(self, inputs):
            super().__init__()
            self.linear = nn.Linear(inputs, D_WIDTH * PIECES)

        def forward(self, x):
            return self.linear(x).view(len(x), PIECES, D_WIDTH).amax(1)

    layers, width = [], 2
    for _ in range(G_DEPTH):
        layers += [nn.Linear(width, G_WIDTH, bias=False), nn.BatchNorm1d(G_WIDTH), nn.ReLU()]
        width = G_WIDTH
    maker = nn.Sequential(*layers, nn.Linear(width, 2))
    judge = nn.Sequential(
        Maxout(2), *[Maxout(D_WIDTH) for _ in range(D_DEPTH - 1)], nn.Linear(D_WIDTH, 1)
    )
    adam = [
        torch.optim.Adam(net.parameters(), lr=1e-4, betas=(0.8, 0.999), fused=True)
        for net in (maker, judge)
    ]
    points = torch.randn(100_000, 2)
    index = torch.randint(len(points), (20, PACKS))

    def train():
        for rows in index:
            fake = maker(torch.randn(PACKS, 2))
            logits = judge(torch.cat([points[rows], fake.detach()]))
            d_loss = (soft(-logits[:PACKS]) + soft(logits[PACKS:])).mean()
            # Both gradients from the same point; the discriminator's own stays clean of G's.
            d_grads = torch.autograd.grad(d_loss, list(judge.parameters()))
            g_grads = torch.autograd.grad(soft(-judge(fake)).mean(), list(maker.parameters()))
            for net, grads in ((maker, g_grads), (judge, d_grads)):
                for parameter, grad in zip(net.parameters(), grads, strict=True):
                    parameter.grad = grad
            for optimizer in adam:
                optimizer.step()

    return {"PyTorch loop": timed(train, len(index))}


def vae_rows(torch):
    """A plain loop, and pythae's get_nll, of the same net: images a second."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    data = torch.from_numpy(np.random.default_rng(0).random((IMAGES, PIXELS), np.float32))

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(PIXELS, HIDDEN)
            self.mean = torch.nn.Linear(HIDDEN, LATENT)
            self.log_var = torch.nn.Linear(HIDDEN, LATENT)

        def forward(self, x):
            h = torch.relu(self.hidden(x.reshape(len(x), -1)))
            return ModelOutput(embedding=self.mean(h), log_covariance=self.log_var(h))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.hidden = torch.nn.Linear(LATENT, HIDDEN)
            self.pixels = torch.nn.Linear(HIDDEN, PIXELS)

        def logits(self, z):
            return self.pixels(torch.relu(self.hidden(z)))

        def forward(self, z):
            pixels = torch.sigmoid(self.logits(z)).reshape(len(z), 1, 28, 28)
            return ModelOutput(reconstruction=pixels)

    encoder, decoder = Encoder(), Decoder()
    optimizer = torch.optim.Adam(
        [*encoder.parameters(), *decoder.parameters()], lr=1e-3, fused=True
    )
    index = torch.from_numpy(np.random.default_rng(1).integers(0, len(data), (100, BATCH)))

    def train():
        for rows in index:
            x = data[rows]
            code = encoder(x)
            mean, log_var = code.embedding, code.log_covariance
            z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
            bce = torch.nn.functional.binary_cross_entropy_with_logits(
                decoder.logits(z), x, reduction="sum"
            )
            kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum()
            optimizer.zero_grad(set_to_none=True)
            ((bce + kl) / BATCH).backward()
            optimizer.step()

    config = VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    vae = VAE(config, encoder=Encoder(), decoder=Decoder())
    shown = data[:2].reshape(-1, 1, 28, 28)

    def nll():
        with torch.no_grad():
            vae.get_nll(shown, n_samples=NLL_SAMPLES, batch_size=100)

    return {
        "PyTorch loop": timed(train, index.numel()),
        "pythae get_nll": timed(nll, len(shown)),
    }


def lm_rows(torch):
    """An eager decoder: pre-norm, rotary positions, SDPA, tied embeddings, clipping, AdamW.

    Tokens a second.
    """
    nn, functional = torch.nn, torch.nn.functional
    size = LM.width // LM.heads
    rates = 10_000.0 ** (-torch.arange(size // 2) / (size // 2))
    angles = torch.arange(LM.context)[:, None] * rates
    cos, sin = angles.cos(), angles.sin()

    def rotate(x):
        left, right = x.chunk(2, -1)
        return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)

    def linear(inputs, outputs):
        return nn.Linear(inputs, outputs, bias=False)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.RMSNorm(LM.width), nn.RMSNorm(LM.width)
            self.qkv, self.out = linear(LM.width, 3 * LM.width), linear(LM.width, LM.width)
            self.up, self.down = linear(LM.width, 4 * LM.width), linear(4 * LM.width, LM.width)

        def forward(self, x):
            qkv = self.qkv(self.first(x)).view(LM.batch, LM.context, 3, LM.heads, size)
            q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
            seen = functional.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
            return x + self.down(functional.relu(self.up(self.second(x))))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(LM.vocabulary, LM.width)
            self.blocks = nn.Sequential(*[Block() for _ in range(LM.depth)])
            self.norm = nn.RMSNorm(LM.width)

        def forward(self, tokens):
            x = self.blocks(self.embed(tokens) * LM.width**0.5)
            return self.norm(x) @ self.embed.weight.T

    model = Decoder()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    windows = torch.randint(0, LM.vocabulary - 1, (LM.batch, LM.context + 1))

    def step():
        logits = model(windows[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    def train():
        for _ in range(LM.steps):
            step()

    return {"PyTorch decoder": timed(train, LM.steps * LM.batch * LM.context)}
