"""The peer of the language-model benchmark: a plain eager PyTorch decoder of the same shape."""

import os

WIDTH, DEPTH, HEADS, CONTEXT, BATCH, VOCABULARY, STEPS = 128, 4, 4, 256, 16, 257, 2


def serve(connection, timed):
    """Sends the row's name, then answers each (name, seconds) with its rate in tokens/s."""
    try:
        import torch
    except ImportError as error:
        connection.send(str(error))
        return
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    step = decoder(torch)
    connection.send(["PyTorch decoder"])
    measure = timed(lambda: [step() for _ in range(STEPS)], STEPS * BATCH * CONTEXT)
    while request := connection.recv():
        connection.send(measure(request[1]))


def decoder(torch):
    """A training step: pre-norm, rotary positions, SDPA, tied embeddings, clipping, AdamW."""
    nn, functional = torch.nn, torch.nn.functional
    size = WIDTH // HEADS
    rates = 10_000.0 ** (-torch.arange(size // 2) / (size // 2))
    angles = torch.arange(CONTEXT)[:, None] * rates
    cos, sin = angles.cos(), angles.sin()

    def rotate(x):
        left, right = x.chunk(2, -1)
        return torch.cat([left * cos - right * sin, left * sin + right * cos], -1)

    def linear(inputs, outputs):
        return nn.Linear(inputs, outputs, bias=False)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.RMSNorm(WIDTH), nn.RMSNorm(WIDTH)
            self.qkv, self.out = linear(WIDTH, 3 * WIDTH), linear(WIDTH, WIDTH)
            self.up, self.down = linear(WIDTH, 4 * WIDTH), linear(4 * WIDTH, WIDTH)

        def forward(self, x):
            qkv = self.qkv(self.first(x)).view(BATCH, CONTEXT, 3, HEADS, size)
            q, k, v = (part.transpose(1, 2) for part in qkv.unbind(2))
            seen = functional.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
            x = x + self.out(seen.transpose(1, 2).reshape(x.shape))
            return x + self.down(functional.relu(self.up(self.second(x))))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(VOCABULARY, WIDTH)
            self.blocks = nn.Sequential(*[Block() for _ in range(DEPTH)])
            self.norm = nn.RMSNorm(WIDTH)

        def forward(self, tokens):
            x = self.blocks(self.embed(tokens) * WIDTH**0.5)
            return self.norm(x) @ self.embed.weight.T

    model = Decoder()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3)
    windows = torch.randint(0, VOCABULARY - 1, (BATCH, CONTEXT + 1))

    def step():
        logits = model(windows[:, :-1])
        loss = functional.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()

    return step
