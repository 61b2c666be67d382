"""Writes the golden files: what PyTorch and NumPy make of small inputs.

    python3 -m venv .venv
    .venv/bin/pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 h5py==3.16.0 pillow==13.0.0
    .venv/bin/python generate.py

Tests read the files and need no Python. Each file is one safetensors (or NPY) file; names of tensors
are those of our own checkpoints, with a prefix that says what they are.
"""

import hashlib
import math
import pathlib
import sys

import h5py
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent
METADATA = {
    "python": sys.version.split()[0],
    "torch": torch.__version__,
    "numpy": np.__version__,
    "script": hashlib.sha256(pathlib.Path(__file__).read_bytes()).hexdigest(),
}
ACTIVATIONS = {"silu": F.silu, "tanh": torch.tanh, "relu": torch.relu, "gelu": F.gelu, "elu": F.elu}


def layer_sizes(inputs, hidden, latent, heads):
    """Names and shapes in the order in which the program lays them out."""
    encoder, decoder, width = [], [], inputs
    for number, size in enumerate(hidden):
        encoder.append((f"encoder.{number}", size, width))
        width = size
    encoder += [("encoder.mean", latent, width), ("encoder.log_variance", latent, width)]
    width = latent
    for number, size in enumerate(reversed(hidden)):
        decoder.append((f"decoder.{number}", size, width))
        width = size
    return encoder + decoder + [(f"decoder.{head}", inputs, width) for head in heads]


def forward(p, x, noise, hidden, activation, likelihood):
    """ELBO parts, summed over the batch; noise is [batch, draws, latent]."""
    act = ACTIVATIONS[activation]
    line = lambda name, value: F.linear(value, p[name + ".weight"], p[name + ".bias"])
    h = x
    for number in range(len(hidden)):
        h = act(line(f"encoder.{number}", h))
    mean, log_variance = line("encoder.mean", h), line("encoder.log_variance", h)
    z = mean[:, None] + torch.exp(0.5 * log_variance)[:, None] * noise
    h = z
    for number in range(len(hidden)):
        h = act(line(f"decoder.{number}", h))
    target = x[:, None].expand(-1, noise.shape[1], -1)
    if likelihood == "bernoulli":
        decoded = line("decoder.logits", h)
        reconstruction = -F.binary_cross_entropy_with_logits(decoded, target, reduction="none")
    else:
        m, v = line("decoder.mean", h), line("decoder.log_variance", h)
        decoded = torch.cat([m, v], -1)
        if likelihood == "gaussian-sigmoid":
            m = torch.sigmoid(m)
        reconstruction = torch.distributions.Normal(m, torch.exp(0.5 * v)).log_prob(target)
    reconstruction = reconstruction.sum(-1).mean(1).sum()
    posterior = torch.distributions.Normal(mean, torch.exp(0.5 * log_variance))
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    kl = torch.distributions.kl_divergence(posterior, prior).sum()
    return reconstruction, kl, mean, log_variance, decoded


def model_case(name, *, inputs, hidden, latent, activation, likelihood, draws, seed):
    torch.manual_seed(seed)
    heads = ["logits"] if likelihood == "bernoulli" else ["mean", "log_variance"]
    batch = 6
    x = torch.rand(batch, inputs)
    noise = torch.randn(batch, draws, latent)
    p = {}
    for path, outputs, fan_in in layer_sizes(inputs, hidden, latent, heads):
        p[path + ".weight"] = torch.randn(outputs, fan_in) / fan_in**0.5
        p[path + ".bias"] = 0.1 * torch.randn(outputs)
    p = {k: v.requires_grad_() for k, v in p.items()}
    out = {"data": x, "noise": noise.reshape(batch * draws, latent)}
    out |= {f"parameters.{k}": v.detach().clone() for k, v in p.items()}
    reconstruction, kl, mean, log_variance, decoded = forward(
        p, x, noise, hidden, activation, likelihood
    )
    (kl - reconstruction).backward()
    out |= {f"gradient.{k}": v.grad.clone() for k, v in p.items()}
    out["posterior"] = torch.cat([mean, log_variance], -1).detach()
    out["decoded"] = decoded.detach().reshape(batch * draws, -1).contiguous()
    out["elbo"] = torch.stack([reconstruction, kl]).detach()
    start = {k: v.detach().clone() for k, v in p.items()}
    optimizers = {
        "adam": lambda q: torch.optim.Adam(q, 1e-2, weight_decay=0.01),
        "adamw": lambda q: torch.optim.AdamW(q, 1e-2, weight_decay=0.01),
        "adagrad": lambda q: torch.optim.Adagrad(q, 1e-2, weight_decay=0.01),
        "sgd": lambda q: torch.optim.SGD(q, 1e-3, momentum=0.9, weight_decay=0.01),
    }
    for kind, make in optimizers.items():
        q = {k: v.clone().requires_grad_() for k, v in start.items()}
        optimizer = make(list(q.values()))
        for step in range(10):
            optimizer.zero_grad()
            reconstruction, kl, *_ = forward(q, x, noise, hidden, activation, likelihood)
            ((kl - reconstruction) / batch).backward()
            optimizer.step()
            if step in (0, 9):
                out |= {f"{kind}.{step + 1}.{k}": v.detach().clone() for k, v in q.items()}
    save_file({k: v.contiguous() for k, v in out.items()}, HERE / f"{name}.safetensors", METADATA)


def layers_of(texts, channels, out_channels, activation):
    """(name, module) of each layer of a description, as torch modules; names as in checkpoints."""
    out = []
    for number, text in enumerate(texts):
        kind, *words = text.split()
        size = words.pop(0) if words and words[0][0].isdigit() else None
        options = {}
        while words:
            name = words.pop(0)
            options[name] = 1 if name == "layer-norm" else words.pop(0)
        kernel = int(options.get("kernel", 3))
        padding = int(options.get("padding", (kernel - 1) // 2))
        stride = int(options.get("stride", 1))
        groups = int(options.get("group-norm", options.get("layer-norm", 0)))
        last = size is None
        if kind == "dense":
            extents = [int(e) for e in size.split("x")]
            count = math.prod(extents)
            modules = [("", torch.nn.LazyLinear(count))]
            if len(extents) == 3:
                modules.append((None, torch.nn.Unflatten(1, (extents[2], *extents[:2]))))
            if groups:
                modules.append((".norm", torch.nn.GroupNorm(groups, extents[-1])))
            channels = extents[-1]
            flattens = True
        else:
            flattens = False
            channels_out = out_channels if last else int(size)
            if kind == "conv":
                modules = [("", torch.nn.Conv2d(channels, channels_out, kernel, stride, padding))]
            elif kind == "transposed-conv":
                added = options.get("output-padding", "0").split("x")
                modules = [("", torch.nn.ConvTranspose2d(
                    channels, channels_out, kernel, stride, padding,
                    (int(added[0]), int(added[-1]))))]
            elif kind == "residual":
                modules = [("", Residual(channels, channels_out, kernel, padding, groups, activation))]
            channels = channels_out
            if groups and kind != "residual":
                modules.append((".norm", torch.nn.GroupNorm(groups, channels)))
        out.append((number, last, flattens, kind, modules))
    return out


class Residual(torch.nn.Module):
    def __init__(self, inputs, outputs, kernel, padding, groups, activation):
        super().__init__()
        norm = lambda: torch.nn.GroupNorm(groups, outputs) if groups else torch.nn.Identity()
        self.add_module("0", torch.nn.Conv2d(inputs, outputs, kernel, 1, padding))
        self.add_module("0_norm", norm())
        self.add_module("1", torch.nn.Conv2d(outputs, outputs, kernel, 1, padding))
        self.add_module("1_norm", norm())
        self.skip = torch.nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None
        self.activation = activation

    def forward(self, x):
        m = self._modules
        h = self.activation(m["0_norm"](m["0"](x)))
        h = m["1_norm"](m["1"](h))
        return self.activation(h + (self.skip(x) if self.skip else x))


class Network(torch.nn.Module):
    def __init__(self, path, texts, channels, out_channels, heads, head_size, activation):
        super().__init__()
        self.path, self.heads, self.activation = path, heads, activation
        self.layers = layers_of(texts, channels, out_channels * len(heads), activation)
        for number, _, _, _, modules in self.layers:
            for suffix, module in modules:
                if suffix is not None:
                    self.add_module(f"{number}{suffix}".replace(".", "_"), module)
        self.has_own_output = bool(self.layers) and self.layers[-1][1]
        if not self.has_own_output:
            for head in heads:
                self.add_module(head, torch.nn.LazyLinear(head_size))

    def forward(self, h):
        for number, last, flattens, kind, modules in self.layers:
            h = h.flatten(1) if flattens else h
            h = h[:, :, None, None] if not flattens and h.dim() == 2 else h
            for _, module in modules:
                h = module(h)
            if not last and kind != "residual":
                h = self.activation(h)
        if self.has_own_output:
            # [batch, heads · channels, height, width] to heads of [height, width, channels].
            return [part.permute(0, 2, 3, 1).flatten(1) for part in h.chunk(len(self.heads), 1)]
        return [getattr(self, head)(h.flatten(1)) for head in self.heads]

    def named(self, get):
        """Tensors by the names of checkpoints; the last layer's cut into heads."""
        out = {}
        for key, parameter in self.named_parameters():
            name = key.replace("_norm", ".norm") if key[0].isdigit() else key
            value = get(parameter)
            number = int(name.split(".")[0]) if name[0].isdigit() else -1
            if self.has_own_output and number == len(self.layers) - 1:
                transposed = self.layers[-1][3] == "transposed-conv" and value.dim() == 4
                parts = value.chunk(len(self.heads), 1 if transposed else 0)
                for head, part in zip(self.heads, parts):
                    out[f"{self.path}.{head}.{name.split('.')[-1]}"] = part
            else:
                out[f"{self.path}.{name}"] = value
        return out


def network_case(name, *, image, encoder, decoder, latent, activation, likelihood, seed):
    """ELBO and gradients of networks that see images, in double precision."""
    torch.manual_seed(seed)
    height, width, channels = image
    batch = 5
    heads = ["logits"] if likelihood == "bernoulli" else ["mean", "log_variance"]
    act = ACTIVATIONS[activation]
    nets = [
        Network("encoder", encoder, channels, latent, ["mean", "log_variance"], latent, act),
        Network("decoder", decoder, latent, channels, heads, height * width * channels, act),
    ]
    x = torch.rand(batch, height, width, channels)
    noise = torch.randn(batch, latent)
    out = {"data": x.reshape(batch, -1), "noise": noise}
    x, noise = x.double(), noise.double()

    def run():
        mean, log_variance = nets[0](x.permute(0, 3, 1, 2))
        z = mean + torch.exp(0.5 * log_variance) * noise
        decoded = nets[1](z)
        target = x.flatten(1)
        if likelihood == "bernoulli":
            log_p = -F.binary_cross_entropy_with_logits(decoded[0], target, reduction="none")
        else:
            log_p = torch.distributions.Normal(
                decoded[0], torch.exp(0.5 * decoded[1])).log_prob(target)
        kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
        return log_p.sum(), kl, torch.cat([mean, log_variance], -1)

    for net in nets:
        net.double()
    run()
    for net in nets:
        for key, parameter in net.named_parameters():
            # Values that a float holds exactly, so that both programs begin alike.
            parameter.data = (parameter.data + 0.1 * torch.randn_like(parameter)).float().double()
    reconstruction, kl, posterior = run()
    (kl - reconstruction).backward()
    for net in nets:
        out |= {f"parameters.{k}": v for k, v in net.named(lambda p: p.detach()).items()}
        out |= {f"gradient.{k}": v for k, v in net.named(lambda p: p.grad).items()}
    out["posterior"] = posterior.detach()
    out["elbo"] = torch.stack([reconstruction, kl]).detach()
    save_file({k: v.float().contiguous().clone() for k, v in out.items()},
              HERE / f"{name}.safetensors", METADATA)


def likelihoods():
    """log p of many values under each likelihood, and the derivatives with respect to operands.

    `NAME` is [values, 1 + operands + 1 + operands]: x, the operands, log p, the derivatives.
    """
    D = torch.distributions
    generator = torch.Generator().manual_seed(5)
    count = 64
    normal = lambda scale, shift=0.0: (
        scale * torch.randn(count, generator=generator) + shift).double()
    unit = torch.rand(count, generator=generator).double()
    byte = torch.randint(0, 256, (count,), generator=generator).double() / 255
    byte[:8] = torch.tensor([0.0, 1.0] * 4)
    counts = torch.floor(torch.exp(normal(1.5, 1.0))).clamp(0)
    counts[:16] = 0
    classes = torch.randint(0, 4, (count,), generator=generator).double()

    def negative_binomial(x, mean, dispersion):
        return D.NegativeBinomial(dispersion.exp(), logits=mean - dispersion).log_prob(x)

    def zero_inflated(x, mean, inflation, dispersion):
        p = negative_binomial(x, mean, dispersion).exp()
        share = torch.sigmoid(inflation)
        return torch.log(share * (x == 0) + (1 - share) * p)

    def discretized_logistic(x, location, scale):
        below = torch.sigmoid((x - location - 0.5 / 255) / scale.exp()) * (x > 0.001)
        above = torch.sigmoid((x - location + 0.5 / 255) / scale.exp())
        return torch.log(torch.where(x > 0.999, torch.ones_like(x), above) - below)

    table = {
        "continuous-bernoulli": (
            lambda x, a: D.ContinuousBernoulli(logits=a).log_prob(x), unit, [normal(3.0)]),
        "laplace": (lambda x, a, b: D.Laplace(a, b.exp()).log_prob(x), unit,
                    [normal(1.0), normal(1.0)]),
        "discretized-logistic": (discretized_logistic, byte, [normal(0.2, 0.5), normal(0.5, -2)]),
        "poisson": (lambda x, a: D.Poisson(a.exp()).log_prob(x), counts, [normal(1.0, 1.0)]),
        "negative-binomial": (negative_binomial, counts, [normal(1.0, 1.0), normal(1.5)]),
        "zero-inflated": (zero_inflated, counts, [normal(1.0, 1.0), normal(1.0), normal(1.5)]),
        "categorical": (
            lambda x, *l: D.Categorical(logits=torch.stack(l, -1)).log_prob(x), classes,
            [normal(2.0) for _ in range(4)]),
    }
    out = {}
    for name, (log_p, x, operands) in table.items():
        x = x.float().double()
        operands = [o.float().double().requires_grad_() for o in operands]
        value = log_p(x, *operands)
        value.sum().backward()
        columns = [x, *operands, value, *(o.grad for o in operands)]
        out[name] = torch.stack(columns, -1).detach().float().contiguous()
    save_file(out, HERE / "likelihoods.safetensors", METADATA)


def arrays():
    """One small NPY file for each number format, order and version that NumPy writes."""
    base = np.arange(24).reshape(4, 3, 2)
    for kind in ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]:
        for order in "<>":
            dtype = np.dtype(order + kind) if kind[1] != "1" else np.dtype(kind)
            values = base.astype(dtype)
            if kind[0] == "f":
                values = values / 8
            label = "big" if order == ">" else "little"
            np.save(HERE / f"npy/{kind}-{label}.npy", values.astype(dtype))
    np.save(HERE / "npy/fortran.npy", np.asfortranarray(base.astype("<f4")))
    np.save(HERE / "npy/boolean.npy", base % 2 == 1)
    for version in [(2, 0), (3, 0)]:
        with open(HERE / f"npy/version-{version[0]}.npy", "wb") as file:
            np.lib.format.write_array(file, base.astype("<f4"), version)
    np.save(HERE / "npy/object.npy", np.array([[1, "a"]], dtype=object), allow_pickle=True)
    np.save(HERE / "npy/structured.npy", np.zeros((2, 2), dtype=[("a", "<f4"), ("b", "<i4")]))
    np.save(HERE / "npy/complex.npy", np.zeros((2, 2), dtype="<c8"))


def containers():
    """The numbers of arrays() in HDF5, each way that elements can lie; and two images in JPEG."""
    base = np.arange(24).reshape(4, 3, 2)
    layouts = {
        "plain": {}, "chunks": {"chunks": (3, 3, 2)}, "tiles": {"chunks": (2, 2, 1)},
        "gzip": {"chunks": (3, 3, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
    }
    with h5py.File(HERE / "hdf5/layouts.h5", "w") as file:
        for name, how in layouts.items():
            file.create_dataset(name, data=base.astype(">i2" if name == "tiles" else "<f4"), **how)
        file["lengths"], file["words"] = np.arange(4), np.array([b"a"])
    flat = base.reshape(4, 6)
    rows, columns = np.nonzero(flat)
    for name, how in {"csr": {"chunks": (5,)}, "csr-gzip": {"chunks": (5,), "compression": "gzip"}}.items():
        with h5py.File(HERE / f"hdf5/{name}.h5ad", "w") as file:
            matrix = file.create_group("X")
            matrix.attrs["encoding-type"], matrix.attrs["shape"] = "csr_matrix", flat.shape
            matrix.create_dataset("data", data=flat[rows, columns].astype("<f4"), **how)
            matrix.create_dataset("indices", data=columns.astype("<i4"), **how)
            matrix.create_dataset("indptr", data=np.searchsorted(rows, np.arange(5)).astype("<i4"))
            kind = file.create_group("obs/kind")
            kind.attrs["encoding-type"] = "categorical"
            kind["codes"], kind["categories"] = np.array([1, 0, 1, 2], "i1"), np.array([b"a", b"b", b"c"])
    y, x = np.mgrid[:11, :13]
    grey = ((y * 23 + x * 7) % 256).astype("u1")
    for name, pixels in {"grey": grey, "colour": np.stack([grey, grey[::-1], x * 19], -1).astype("u1")}.items():
        Image.fromarray(pixels).save(HERE / f"jpeg/{name}.jpg", quality=80)
        np.save(HERE / f"jpeg/{name}.npy", np.asarray(Image.open(HERE / f"jpeg/{name}.jpg")))


if __name__ == "__main__":
    for folder in ("npy", "hdf5", "jpeg"):
        (HERE / folder).mkdir(exist_ok=True)
    arrays()
    containers()
    likelihoods()
    common = dict(inputs=11, latent=3)
    model_case("bernoulli-tanh", hidden=[7, 5], activation="tanh", likelihood="bernoulli",
               draws=1, seed=1, **common)
    model_case("gaussian-relu", hidden=[8], activation="relu", likelihood="gaussian",
               draws=2, seed=2, **common)
    model_case("gaussian-sigmoid-gelu", hidden=[6], activation="gelu",
               likelihood="gaussian-sigmoid", draws=1, seed=3, **common)
    network_case(
        "convolutions", image=(7, 6, 2), latent=3, activation="tanh", likelihood="gaussian", seed=5,
        encoder=["conv 4 kernel 4 stride 2", "conv 6 kernel 3 stride 2 group-norm 3",
                 "dense 10 layer-norm"],
        decoder=["dense 8", "dense 2x2x6 group-norm 2",
                 "transposed-conv 4 kernel 3 stride 2 output-padding 0 layer-norm",
                 "transposed-conv kernel 4 stride 2 output-padding 1x0"])
    network_case(
        "residuals", image=(6, 5, 3), latent=4, activation="silu", likelihood="gaussian", seed=6,
        encoder=["residual 4 kernel 3 group-norm 2", "residual 4 kernel 5",
                 "conv 5 kernel 2 padding 0 layer-norm"],
        decoder=["transposed-conv 4 kernel 2 padding 0", "dense 3x2x4",
                 "transposed-conv 6 kernel 4 stride 2 output-padding 0x1",
                 "residual 4 kernel 3 layer-norm", "conv kernel 3 padding 1"])
    network_case(
        "windows", image=(5, 9, 1), latent=2, activation="relu", likelihood="bernoulli", seed=7,
        encoder=["conv 17 kernel 5 stride 3 padding 2", "residual 17 kernel 1"],
        decoder=["dense 3x3x16", "conv 8 kernel 3 stride 2 padding 1", "dense 2x4x3",
                 "transposed-conv 5 kernel 3 stride 2 output-padding 1",
                 "transposed-conv kernel 2 padding 0"])
    model_case("bernoulli-linear", hidden=[], activation="elu", likelihood="bernoulli", draws=3,
               seed=4, **common)
