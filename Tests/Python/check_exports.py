"""Exports models of every likelihood, kind of layer and activation to ONNX and compares what onnxruntime makes of
them with what the program does; reads TensorBoard's events with its own package.

    python Tests/Python/check_exports.py .build/release/vae-dist
"""

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

CONVOLUTIONS = [
    "--encoder",
    "conv 6 kernel 3 group-norm 2, residual 8 kernel 3 group-norm 4, conv 8 kernel 4 stride 2, dropout 0.2, dense 12 layer-norm",
    "--decoder", "dense 4x4x6 layer-norm, residual 6 kernel 3, transposed-conv 5 kernel 3 stride 2 output-padding 1,"
    " transposed-conv kernel 3"]
IMAGES = ["--encoder", "conv 6 kernel 3, conv 4 kernel 4 stride 2", "--decoder", "dense 4x4x6, dense 8x8x3, conv kernel 3"]
TABLE = "2 gaussian, log-normal, bernoulli, poisson, categorical 4"
# Name: data, flags.
MODELS = {
    "bernoulli": ("digits", []),
    "conv": ("digits", CONVOLUTIONS),
    "conv-labels": ("digits", CONVOLUTIONS + ["--condition", "labels"]),
    "labels": ("digits", ["--condition", "labels", "--hidden", "12,9"]),
    "continuous-bernoulli": ("digits", ["--likelihood", "continuous-bernoulli"]),
    "gaussian": ("digits", ["--likelihood", "gaussian", "--observation-mean", "sigmoid"]),
    "gaussian-conv": ("colour", IMAGES + ["--likelihood", "gaussian", "--observation-scale", "per-dimension"]),
    "laplace": ("digits", ["--likelihood", "laplace", "--observation-scale", "shared"]),
    "logistic": ("bytes", ["--likelihood", "discretized-logistic", "--network", "conv"]),
    "logistic-fixed": ("bytes", ["--likelihood", "discretized-logistic", "--observation-scale", "fixed",
                                 "--observation-scale-value", "0.1"]),
    "logistic-shared": ("bytes", ["--likelihood", "discretized-logistic", "--observation-scale", "shared"]),
    "poisson": ("counts", ["--likelihood", "poisson"]),
    "poisson-library": ("counts", ["--likelihood", "poisson", "--library-size", "observed"]),
    "negative-binomial": ("counts", ["--likelihood", "negative-binomial"]),
    "zinb": ("counts", ["--likelihood", "zero-inflated-negative-binomial"]),
    "zinb-library": ("counts", ["--likelihood", "zero-inflated-negative-binomial", "--library-size", "observed"]),
    "categorical": ("classes", ["--likelihood", "categorical", "--categories", "5"]),
    "categorical-conv": ("classes", ["--likelihood", "categorical", "--categories", "5", "--network", "conv"]),
    "table": ("table", ["--likelihood", "table", "--columns", TABLE]),
    "mixture": ("digits", ["--prior", "mixture", "--prior-components", "4"]),
    "vamp-conv": ("digits", ["--prior", "vamp", "--prior-components", "4", "--network", "conv"]),
} | {
    name: ("digits", ["--activation", name, "--hidden", "20,15"])
    for name in ("identity", "relu", "leaky-relu", "sigmoid", "elu", "softplus", "silu", "gelu")}


def make_data(folder: pathlib.Path) -> None:
    rng = np.random.default_rng(2)
    np.save(folder / "counts.npy", rng.poisson(rng.gamma(2, 2, (300, 30))))
    np.save(folder / "classes.npy", rng.integers(0, 5, (300, 6, 6)).astype("u1"))
    np.save(folder / "bytes.npy", rng.integers(0, 256, (300, 6, 7)).astype("u1"))
    np.save(folder / "colour.npy", rng.random((300, 8, 8, 3)).astype("f4"))
    table = np.column_stack([
        rng.normal(40, 7, (300, 2)), rng.lognormal(2, 0.4, 300), rng.random(300) < 0.3,
        rng.poisson(3, 300), rng.integers(0, 4, 300)])
    table[rng.random(table.shape) < 0.1] = np.nan
    np.save(folder / "table.npy", table)


def check_model(program: str, folder: pathlib.Path, name: str, data: str, flags: list[str]) -> None:
    run = str(folder / name)

    def call(*arguments: str) -> None:
        done = subprocess.run([program, *arguments], timeout=60, capture_output=True, text=True)
        assert done.returncode == 0, (name, arguments, done.stderr)

    source = data if data == "digits" else str(folder / f"{data}.npy")
    network = [] if {"--network", "--encoder", "--hidden"} & set(flags) else ["--hidden", "25"]
    call("train", "--run", run, "--data", source, "--epochs", "2", "--latent", "4", "--no-report",
         *network, *flags)
    call("export", run, "--format", "onnx")
    call("encode", run)
    call("reconstruct", run, "--count", "20")
    call("sample", run, "--count", "20")
    sessions = {}
    for part in ("encoder", "decoder", "vae"):
        path = f"{run}/onnx/{part}.onnx"
        model = onnx.load(path)
        onnx.checker.check_model(model, full_check=True)
        assert {"scale", "configuration", "checkpoint_sha256"} <= {p.key for p in model.metadata_props}
        sessions[part] = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def ask(part: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        session = sessions[part]
        wanted = {i.name for i in session.get_inputs()}
        names = [o.name for o in session.get_outputs()]
        return dict(zip(names, session.run(None, {k: v for k, v in inputs.items() if k in wanted})))

    def same(one: np.ndarray, other: np.ndarray, what: str) -> None:
        one = one.reshape(other.shape)
        error = (np.abs(one - other) / np.maximum(1, np.abs(other))).max()
        assert error < 1e-5, (name, what, error)

    encoded, pairs = np.load(f"{run}/encode.npz"), np.load(f"{run}/reconstruct.npz")
    samples = np.load(f"{run}/sample.npz")
    count = len(pairs["x"])
    x = pairs["x"].reshape(count, -1)
    labels = {"label": pairs["label"]} if "label" in pairs else {}
    posterior = ask("encoder", x=x, **labels)
    same(posterior["mean"], encoded["mean"][:count], "mean")
    same(posterior["standard_deviation"], encoded["standard_deviation"][:count], "deviation")
    # Shares of a total are multiplied by it: the example's in reconstruct, 10,000 in sample.
    is_share = "--library-size" in flags
    total = x.sum(1, keepdims=True) if is_share else 1
    decoded = ask("decoder", z=posterior["mean"], **labels)
    same(total * decoded["x_mean"], pairs["reconstruction"], "reconstruction")
    of_samples = {"label": samples["label"]} if "label" in samples else {}
    same((10_000 if is_share else 1) * ask("decoder", z=samples["z"], **of_samples)["x_mean"], samples["x"], "x")
    # With noise of one's own: z = mean + deviation * noise, and other numbers of rows.
    noise = np.random.default_rng(1).normal(size=(7, 4)).astype("f4")
    few = {k: v[:7] for k, v in labels.items()}
    whole = ask("vae", x=x[:7], noise=noise, **few)
    same(whole["z"], (posterior["mean"] + posterior["standard_deviation"] * np.pad(noise, ((0, count - 7), (0, 0))))[:7], "z")
    for key, value in ask("decoder", z=whole["z"], **few).items():
        same(whole[key], value, key)
    assert len(ask("encoder", x=x[:1], **{k: v[:1] for k, v in labels.items()})["mean"]) == 1


def check_events(program: str, folder: pathlib.Path) -> None:
    run = folder / "events"
    flags = [program, "train", "--run", str(run), "--hidden", "20", "--latent", "3", "--tensorboard"]
    subprocess.run([*flags, "--epochs", "3"], check=True, stdout=subprocess.DEVNULL, timeout=60)
    subprocess.run([*flags, "--epochs", "5", "--resume"], check=True, stdout=subprocess.DEVNULL, timeout=60)
    check_event_folder(run)
    # What export makes afterwards is the same, in its place.
    for _ in range(2):
        subprocess.run([program, "export", str(run), "--format", "tensorboard"], check=True,
                       stdout=subprocess.DEVNULL, timeout=60)
        check_event_folder(run)


def check_event_folder(run: pathlib.Path) -> None:
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    events.Reload()
    tags = events.Tags()
    assert {"ELBO/train", "ELBO/test", "KL divergence/test", "reconstruction/train"} <= set(tags["scalars"])
    import json
    lines = [json.loads(line) for line in open(run / "metrics.jsonl")]
    expected = [(e["step"], e["elbo"]) for e in lines if e["event"] == "evaluate"]
    found = [(e.step, e.value) for e in events.Scalars("ELBO/test")]
    assert len(found) == 5 and np.allclose(found, expected), (found, expected)
    times = [e.wall_time for e in events.Scalars("ELBO/test")]
    assert times == sorted(times)
    assert {"samples", "reconstructions", "traversals"} <= set(tags["images"])
    image = events.Images("samples")[-1]
    assert image.encoded_image_string[:4] == b"\x89PNG" and image.width > 100
    weights = load_file(run / "checkpoints" / "latest")["encoder.0.weight"]
    histogram = events.Histograms("parameters/encoder.0.weight")[-1].histogram_value
    assert histogram.num == weights.size and abs(histogram.sum - weights.sum()) < 1e-3
    assert abs(histogram.min - weights.min()) < 1e-6 and sum(histogram.bucket) == weights.size
    from google.protobuf import text_format
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig
    projector = text_format.Parse((run / "tensorboard" / "projector_config.pbtxt").read_text(), ProjectorConfig())
    folder = run / "tensorboard"
    points = np.loadtxt(folder / projector.embeddings[0].tensor_path, delimiter="\t")
    labels = (folder / projector.embeddings[0].metadata_path).read_text().split()
    assert points.shape == (180, 3) and len(labels) == 180


def check_parameters(program: str, folder: pathlib.Path) -> None:
    run = folder / "bernoulli"
    subprocess.run([program, "export", str(run), "--format", "safetensors"], check=True,
                   stdout=subprocess.DEVNULL, timeout=60)
    alone, whole = load_file(run / "model.safetensors"), load_file(run / "checkpoints" / "latest")
    assert set(alone) == {name for name in whole if not name.startswith("adam.")}
    assert all((alone[name] == whole[name]).all() for name in alone)


def main(program: str, only: str | None) -> None:
    program = str(pathlib.Path(program).resolve())
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_data(folder)
        for name, (data, flags) in MODELS.items():
            if not only or name == only:
                check_model(program, folder, name, data, flags)
        if only:
            return
        check_parameters(program, folder)
        check_events(program, folder)
    print(f"{len(MODELS)} models exported, TensorBoard read")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
