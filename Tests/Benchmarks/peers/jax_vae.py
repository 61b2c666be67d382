"""The peer in JAX: the same model, batches and optimizer, a whole epoch compiled as one scan.

One process. Prints the examples a second of the last epoch.
"""

import argparse
import os
import time

parser = argparse.ArgumentParser()
parser.add_argument("--data", required=True)
parser.add_argument("--hidden", default="400")
parser.add_argument("--latent", type=int, default=20)
parser.add_argument("--batch", type=int, default=100)
parser.add_argument("--epochs", type=int, default=3)
parser.add_argument("--threads", type=int, default=1)
options = parser.parse_args()
if options.threads == 1:
    os.environ["XLA_FLAGS"] = (
        "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    )

import jax  # noqa: E402 (reads XLA_FLAGS)
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from mnist import training_images  # noqa: E402

images = jnp.asarray(training_images(options.data))
hidden = [int(width) for width in options.hidden.split(",")]
latent = options.latent


def initialize(key, widths):
    keys = jax.random.split(key, len(widths) - 1)
    return [
        {
            "weight": jax.random.uniform(k, (i, o), minval=-(i**-0.5), maxval=i**-0.5),
            "bias": jnp.zeros(o),
        }
        for k, i, o in zip(keys, widths, widths[1:])
    ]


def apply(layers, x):
    for index, layer in enumerate(layers):
        x = x @ layer["weight"] + layer["bias"]
        x = jax.nn.relu(x) if index + 1 < len(layers) else x
    return x


def loss(parameters, x, key):
    output = apply(parameters["encoder"], x)
    mean, log_variance = output[:, :latent], output[:, latent:]
    z = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    logits = apply(parameters["decoder"], z)
    reconstruction = optax.sigmoid_binary_cross_entropy(logits, x).sum()
    divergence = -0.5 * (1 + log_variance - mean**2 - jnp.exp(log_variance)).sum()
    return (reconstruction + divergence) / x.shape[0]


optimizer = optax.adam(1e-3)


@jax.jit
def train_epoch(parameters, state, order, key):
    def step(carry, indices):
        parameters, state, key = carry
        key, noise_key = jax.random.split(key)
        value, gradient = jax.value_and_grad(loss)(parameters, images[indices], noise_key)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(parameters, updates), state, key), value

    (parameters, state, _), values = jax.lax.scan(step, (parameters, state, key), order)
    return parameters, state, values.mean()


keys = jax.random.split(jax.random.PRNGKey(0))
parameters = {
    "encoder": initialize(keys[0], [784, *hidden, 2 * latent]),
    "decoder": initialize(keys[1], [latent, *reversed(hidden), 784]),
}
state = optimizer.init(parameters)
rate = 0.0
for epoch in range(options.epochs):
    order = np.random.default_rng(epoch).permutation(len(images))
    order = jnp.asarray(order[: len(order) // options.batch * options.batch])
    order = order.reshape(-1, options.batch)
    start = time.perf_counter()
    parameters, state, value = train_epoch(parameters, state, order, jax.random.PRNGKey(epoch))
    value.block_until_ready()
    rate = order.size / (time.perf_counter() - start)
print(f"{rate:.0f}")
