"""Asks a small model all that can be asked, and reads the answers with Python's own libraries.

    python Tests/Python/read_results.py .build/release/vae-dist
"""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from PIL import Image
from safetensors.numpy import load_file


def main(program: str) -> None:
    program = str(pathlib.Path(program).resolve())
    with tempfile.TemporaryDirectory() as folder:
        run = f"{folder}/run"

        def ask(command: str, *flags: str) -> dict:
            done = subprocess.run(
                [program, command, run, *flags], check=True, timeout=60, capture_output=True)
            return json.loads(done.stdout)

        subprocess.run(
            [program, "train", "--run", run, "--epochs", "3", "--hidden", "16", "--latent", "2"],
            check=True, stdout=subprocess.DEVNULL, timeout=60)
        tensors = load_file(f"{run}/checkpoints/latest")
        line = lambda name, v: v @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
        sigmoid = lambda v: 1 / (1 + np.exp(-v))
        decode = lambda z: sigmoid(line("decoder.logits", np.tanh(line("decoder.0", z))))

        # encode and reconstruct, against the network by hand.
        written = ask("encode", "--json")
        assert written["files"] == [f"{run}/encode.npz"] and written["rows"] == 180, written
        encoded = np.load(f"{run}/encode.npz")
        ask("reconstruct", "--count", "180", "--json")
        pairs = np.load(f"{run}/reconstruct.npz")
        assert pairs["x"].shape == pairs["reconstruction"].shape == (180, 8, 8)
        assert (pairs["row"] == encoded["row"]).all() and (pairs["label"] == encoded["label"]).all()
        hidden = np.tanh(line("encoder.0", pairs["x"].reshape(180, 64)))
        assert np.abs(line("encoder.mean", hidden) - encoded["mean"]).max() < 1e-5
        deviation = np.exp(line("encoder.log_variance", hidden) / 2)
        assert np.abs(deviation - encoded["standard_deviation"]).max() < 1e-5
        by_hand = decode(encoded["mean"]).reshape(180, 8, 8)
        assert np.abs(by_hand - pairs["reconstruction"]).max() < 1e-5
        tiles = np.asarray(Image.open(f"{run}/reconstruct.png"))
        assert tiles.ndim == 2 and tiles.dtype == np.uint8, tiles.shape

        # decode of what encode wrote; the same numbers as text.
        ask("encode", "--json", "--output", f"{folder}/z.npy", "--output", f"{folder}/z.csv")
        z = np.load(f"{folder}/z.npy")
        assert (z == encoded["mean"]).all()
        subprocess.run(
            [program, "decode", run, f"{folder}/z.npy", "--output", f"{folder}/x.npy"],
            check=True, timeout=60, stdout=subprocess.DEVNULL)
        assert (np.load(f"{folder}/x.npy") == pairs["reconstruction"]).all()
        rows = list(csv.DictReader(open(f"{folder}/z.csv")))
        assert [int(r["row"]) for r in rows] == list(encoded["row"])
        for name in ("mean", "standard_deviation"):
            text = np.array(
                [[r[f"{name}_0"], r[f"{name}_1"]] for r in rows]).astype(np.float32)
            assert (text == encoded[name]).all(), name

        # score: the mean is what evaluate says, and the worst come first.
        report = ask("score", "--json", "--top", "5")
        scores = np.load(f"{run}/score.npz")
        evaluation = ask("evaluate", "--json")
        assert abs(scores["elbo"].mean() - evaluation["elbo"]) < 1e-9
        order = np.argsort(scores["elbo"])[:5]
        assert [r["row"] for r in report["least_probable"]] == list(scores["row"][order])

        # sample: the prior's moments, the decoder's means, and draws that are 0 or 1.
        ask("sample", "--json", "--count", "5000", "--output", f"{folder}/s.npz")
        samples = np.load(f"{folder}/s.npz")
        assert samples["x"].shape == (5000, 8, 8)
        assert np.abs(samples["z"].mean(0)).max() < 5 / 5000**0.5
        assert np.abs(samples["z"].std(0) - 1).max() < 5 / (2 * 5000) ** 0.5
        assert np.abs(decode(samples["z"]).reshape(-1, 8, 8) - samples["x"]).max() < 1e-5
        ask("sample", "--json", "--count", "5000", "--draw", "--output", f"{folder}/d.npz")
        draws = np.load(f"{folder}/d.npz")
        assert (draws["z"] == samples["z"]).all() and set(np.unique(draws["x"])) == {0, 1}
        assert np.abs(draws["x"].mean(0) - samples["x"].mean(0)).max() < 5 * 0.5 / 5000**0.5
        ask("sample", "--json", "--temperature", "0.5", "--count", "100", "--output", f"{folder}/t.npz")
        assert np.allclose(np.load(f"{folder}/t.npz")["z"], samples["z"][:100] / 2)

        # manifold: the unit square through the normal quantile, second latent upwards.
        ask("manifold", "--json", "--size", "6")
        z = np.load(f"{run}/manifold.npz")["z"].reshape(6, 6, 2)
        assert (np.diff(z[:, :, 0], axis=1) > 0).all() and (np.diff(z[:, :, 1], axis=0) < 0).all()
        assert np.allclose(z[0, :, 0], -z[0, ::-1, 0], atol=1e-6)
        picture = Image.open(f"{run}/manifold.png")
        picture.verify()

        # interpolate and traverse: ends and middles where they belong.
        first, second = (int(row) for row in encoded["row"][:2])
        ask("interpolate", "--json", "--rows", f"{first},{second}", "--steps", "3")
        z = np.load(f"{run}/interpolate.npz")["z"]
        ends = encoded["mean"][:2]
        assert np.allclose(z, [ends[0], ends.mean(0), ends[1]], atol=1e-6)
        ask("traverse", "--json", "--latents", "1", "--steps", "5", "--reach", "2")
        z = np.load(f"{run}/traverse.npz")["z"]
        assert np.allclose(z, [[0, v] for v in (-2, -1, 0, 1, 2)], atol=1e-6)
    print("answers of 8 commands read")


if __name__ == "__main__":
    main(sys.argv[1])
