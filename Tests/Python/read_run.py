"""Trains a small model and reads all that it left with Python's own libraries, as the README shows.

    python Tests/Python/read_run.py .build/release/vae-dist
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file


def main(program: str) -> None:
    program = str(pathlib.Path(program).resolve())
    with tempfile.TemporaryDirectory() as folder:
        rng = np.random.default_rng(1)
        data = rng.random((300, 4, 5))  # float64, [300, 4, 5]
        np.save(f"{folder}/x.npy", data)
        run = f"{folder}/run"
        subprocess.run(
            [program, "train", "--data", f"{folder}/x.npy", "--run", run, "--epochs", "3",
             "--hidden", "16", "--latent", "2", "--likelihood", "gaussian"],
            check=True, stdout=subprocess.DEVNULL, timeout=60)

        events = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
        assert [e["event"] for e in events][-1] == "end"
        for event in events:
            if event["event"] in ("train", "evaluate"):
                parts = event["reconstruction_log_likelihood"] - event["kl_divergence"]
                assert abs(event["elbo"] - parts) < 1e-9, event

        tensors = load_file(f"{run}/checkpoints/latest")
        assert tensors["encoder.0.weight"].shape == (16, 20)
        assert tensors["encoder.mean.weight"].shape == (2, 16)
        assert tensors["decoder.log_variance.bias"].shape == (20,)
        assert tensors["adam.first_moment.decoder.mean.weight"].shape == (20, 16)
        assert all(np.isfinite(t).all() for t in tensors.values())
        with safe_open(f"{run}/checkpoints/best", "np") as file:
            metadata = file.metadata()
        assert metadata["format"] == "pt"
        assert json.loads(metadata["configuration"])["latent"] == 2
        assert metadata["step"] == str(events[-1]["step"]) or metadata["step"].isdigit()

        # The forward pass by hand: the mean log likelihood of the training data under z = mean is
        # within what noise costs of what the program reports.
        x = data.reshape(300, -1)
        line = lambda name, v: v @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
        hidden = np.tanh(line("encoder.0", x))
        mean, log_variance = line("encoder.mean", hidden), line("encoder.log_variance", hidden)
        kl = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1).mean()
        report = json.loads(subprocess.run(
            [program, "evaluate", run, "--split", "train", "--json"], check=True, timeout=60,
            capture_output=True).stdout)
        assert abs(kl - report["kl_divergence"]) < 0.1 * max(kl, 0.1), (kl, report)
    print("a run read")


if __name__ == "__main__":
    main(sys.argv[1])
