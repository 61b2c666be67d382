"""The peer in PyTorch: the same model, batches and optimizer, data in memory, fused Adam.

One process with --threads T, or several under torchrun (DistributedDataParallel over gloo).
Prints the examples a second of the last epoch.
"""

import argparse
import os
import time

import torch
import torch.distributed as dist
from torch import nn
from torch.nn import functional

from mnist import training_images

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--hidden", default="400")
parser.add_argument("--latent", type=int, default=20)
parser.add_argument("--batch", type=int, default=100)
parser.add_argument("--epochs", type=int, default=2)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--bf16", action="store_true")
options = parser.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(0)
rank, world_size = 0, 1
if "RANK" in os.environ:
    dist.init_process_group("gloo")
    rank, world_size = dist.get_rank(), dist.get_world_size()


def layers(widths):
    """Linear layers with ReLU between them."""
    modules = []
    for inputs, outputs in zip(widths, widths[1:]):
        modules += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*modules[:-1])


class VAE(nn.Module):
    def __init__(self, inputs, hidden, latent):
        super().__init__()
        self.encoder = layers([inputs, *hidden, 2 * latent])
        self.decoder = layers([latent, *reversed(hidden), inputs])

    def forward(self, x):
        mean, log_variance = self.encoder(x).float().chunk(2, dim=1)
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        logits = self.decoder(z).float()
        reconstruction = functional.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        divergence = -0.5 * torch.sum(1 + log_variance - mean**2 - log_variance.exp())
        return reconstruction + divergence


images = torch.from_numpy(training_images(options.data))
model = VAE(784, [int(width) for width in options.hidden.split(",")], options.latent)
trained = nn.parallel.DistributedDataParallel(model) if world_size > 1 else model
optimizer = torch.optim.Adam(model.parameters(), 1e-3, fused=True)
share = options.batch // world_size
rate = 0.0
for epoch in range(options.epochs):
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(epoch))
    start = time.perf_counter()
    for first in range(0, len(images), options.batch):
        x = images[order[first + rank * share : first + (rank + 1) * share]]
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bf16):
            loss = trained(x) / max(len(x), 1)
        loss.backward()
        optimizer.step()
    rate = len(images) / (time.perf_counter() - start)
if rank == 0:
    print(f"{rate:.0f}")
