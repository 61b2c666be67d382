"""Writes data in the ecosystem's formats, reads them with the program, and compares what it makes of them.

    python Tests/Python/read_data.py .build/release/vae-dist
"""

import csv
import gzip
import json
import pathlib
import struct
import subprocess
import sys
import tempfile
import zlib

import numpy as np
import pandas as pd
from PIL import Image


def main(program: str) -> None:
    program = str(pathlib.Path(program).resolve())
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        count = 0

        def call(*arguments: str) -> subprocess.CompletedProcess:
            return subprocess.run([program, *arguments], timeout=60, capture_output=True, text=True, cwd=folder)

        def same(data: str, expected: np.ndarray, *flags: str) -> None:
            nonlocal count
            done = call("convert", data, "out.npy", *flags)
            assert done.returncode == 0, (data, done.stderr)
            found = np.load(folder / "out.npy")
            wanted = expected if expected.dtype == np.uint8 else expected.astype("f4")
            assert found.dtype == wanted.dtype and np.array_equal(found, wanted, equal_nan=wanted.dtype != np.uint8), data
            count += 1

        rng = np.random.default_rng(4)
        x = rng.normal(size=(300, 7)) * 10.0 ** rng.integers(-12, 12, (300, 7))
        with_gaps = np.where(rng.random(x.shape) < 0.1, np.nan, x)
        images = rng.integers(0, 256, (40, 8, 9)).astype("u1")
        labels = rng.integers(0, 3, 40)

        np.savetxt(folder / "a.csv", x, delimiter=",")
        same("a.csv", x)
        np.savetxt(folder / "b.tsv", x, delimiter="\t", header="\t".join("abcdefg"), comments="", fmt="%.7g")
        same("b.tsv", np.loadtxt(folder / "b.tsv", skiprows=1))
        with open(folder / "c.csv", "w", newline="") as file:
            writer = csv.writer(file, quoting=csv.QUOTE_ALL)
            writer.writerow(["name, unit", 'say "a"', *"cdefg"])
            writer.writerows([["" if np.isnan(v) else repr(float(v)) for v in row] for row in with_gaps])
        same("c.csv", with_gaps)

        # Texts are the codes of pandas' categories, missing values the same; columns keep their names as text.
        mixed = pd.DataFrame(with_gaps[:, :3], columns=["a", 'b, "c"', "d"])
        mixed["kind"] = rng.choice(["tall", "small, thin", 'wide "x"', "none", None], 300)
        mixed["flag"] = rng.choice([True, False], 300)
        codes = pd.Categorical(mixed["kind"]).codes
        wanted = np.column_stack([with_gaps[:, :3], np.where(codes < 0, np.nan, codes), mixed["flag"]])
        for index in (True, False):
            mixed.to_csv(folder / "e.csv", index=index)
            same("e.csv", wanted)
            mixed.to_csv(folder / "e.tsv", index=index, sep="\t")
            same("e.tsv", wanted)
        same("e.csv", wanted[:, [0, 2, 3]], "--skip-columns", "flag,2")
        assert call("convert", "e.csv", "f.csv").returncode == 0
        assert list(pd.read_csv(folder / "f.csv")) == list(mixed)
        assert pd.read_csv(folder / "f.csv")["kind"].equals(mixed["kind"])
        pd.DataFrame(x).to_csv(folder / "g.csv", index=False)
        same("g.csv", x)

        # As Excel writes tables where commas are decimal, R names of rows, and pandas compressed.
        mixed.to_csv(folder / "h.csv", index=False, sep=";")
        same("h.csv", wanted)
        mixed.to_csv(folder / "i.csv.gz", index=False)
        same("i.csv.gz", wanted)
        (folder / "j.csv").write_text('"a","b"\n' + "".join(f'"{i + 1}",{i},{i / 8}\n' for i in range(9)))
        same("j.csv", np.column_stack([np.arange(9), np.arange(9) / 8]))

        # Members of a gzip file follow each other, as bgzip writes them, with an empty one at the end.
        parts = [gzip.compress(b"a,b\n1,2\n"), gzip.compress(b"3,4\n"), gzip.compress(b"")]
        (folder / "k.csv.gz").write_bytes(b"".join(parts))
        same("k.csv.gz", np.array([[1, 2], [3, 4.0]]))
        (folder / "k.csv.gz").write_bytes(parts[0][:-9])
        assert "is a damaged gzip file" in call("convert", "k.csv.gz", "out.npy").stderr
        # What we write we read: a class that begins like a comment.
        pd.DataFrame({"kind": ["#t", "u"] * 9, "v": range(18)}).to_csv(folder / "l.csv", index=False, quoting=csv.QUOTE_ALL)
        same("l.csv", np.column_stack([np.arange(18) % 2, np.arange(18)]))
        assert call("convert", "l.csv", "m.csv").returncode == 0
        same("m.csv", np.column_stack([np.arange(18) % 2, np.arange(18)]))

        np.savez(folder / "one.npz", x=x, y=labels)
        same("one.npz", x)
        same("one.npz:x", x)
        np.savez_compressed(folder / "two.npz", first=images, second=np.asfortranarray(x))
        same("two.npz:first", images)
        same("two.npz:second", x)
        assert "name the one to read, for example two.npz:first" in call("convert", "two.npz", "out.npy").stderr
        assert "and no 'third'" in call("convert", "two.npz:third", "out.npy").stderr
        np.savez_compressed(folder / "keras.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
        same("keras.npz", images)
        same("keras.npz", images[:9], "--split", "test")
        done = call("train", "--data", "keras.npz", "--condition", "labels", "--epochs", "1", "--hidden", "9",
                    "--latent", "2", "--run", "run", "--no-report")
        assert done.returncode == 0, done.stderr
        # What encode wrote is read again, and from another folder a run knows its data.
        assert call("encode", "run").returncode == 0
        same("run/encode.npz:mean", np.load(folder / "run/encode.npz")["mean"])
        assert call("decode", "run", "run/encode.npz:mean").returncode == 0
        np.save(folder / "f.npy", np.asfortranarray(x))
        same("f.npy", x)

        # Folders of images: grey, in colour by classes, in parts; and CIFAR-10's binary files.
        def png(path: str, pixels: np.ndarray) -> None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / path)

        colour = rng.integers(0, 256, (12, 8, 10, 3)).astype("u1")
        for i, image in enumerate(images):
            png(f"grey/{i:02}.png", image)
            png(f"parts/{'train' if i < 30 else 'test'}/{i:02}.png", image)
        for i, image in enumerate(colour):
            png(f"classes/{'dog' if i % 2 else 'cat'}/{i:02}.png", image)
        same("grey", images)
        same("parts", images[:30])
        same("parts", images[30:], "--split", "test")
        same("classes", np.concatenate([colour[::2], colour[1::2]]))
        records = rng.integers(0, 256, (50, 3073)).astype("u1")
        records[:, 0] %= 10
        (folder / "cifar").mkdir()
        records[:20].tofile(folder / "cifar/data_batch_1.bin")
        records[20:40].tofile(folder / "cifar/data_batch_2.bin")
        records[40:].tofile(folder / "cifar/test_batch.bin")
        (folder / "cifar/batches.meta.txt").write_text("".join(f"thing {i}\n" for i in range(10)) + "\n")
        planes = records[:, 1:].reshape(50, 3, 32, 32).transpose(0, 2, 3, 1)
        same("cifar", planes[:40])
        same("cifar", planes[40:], "--split", "test")
        for data, wanted in (("classes", [0] * 6 + [1] * 6), ("cifar", list(records[:40, 0]))):
            done = call("train", "--data", data, "--condition", "labels", "--steps", "1", "--hidden", "5", "--latent", "2",
                        "--global-batch-size", "5", "--run", f"of-{data}", "--no-report", "--likelihood", "discretized-logistic")
            assert done.returncode == 0, done.stderr
            assert call("encode", f"of-{data}", "--data", data, "--split", "train").returncode == 0
            encoded = np.load(folder / f"of-{data}/encode.npz")
            names = {"classes": ["cat", "dog"], "cifar": [f"thing {i}" for i in range(10)]}[data]
            assert [names[label] for label in encoded["label"]] == list(encoded["label_name"]), data
            assert [wanted[row] for row in encoded["row"]] == list(encoded["label"]), data
        # Pixels are those that are stored, whatever a file says of gamma or transparency; of 16 bits the nearest 8.
        deep = rng.integers(0, 65536, (5, 9, 8)).astype("u2")
        clear = rng.integers(0, 256, (5, 9, 8, 4)).astype("u1")
        gamma = b"gAMA" + struct.pack(">I", 100_000)
        for i in range(5):
            png(f"deep/{i}.png", deep[i])
            png(f"clear/{i}.png", clear[i])
            png(f"gamma/{i}.png", images[i])
            whole = (folder / f"gamma/{i}.png").read_bytes()
            chunk = struct.pack(">I", 4) + gamma + struct.pack(">I", zlib.crc32(gamma))
            (folder / f"gamma/{i}.png").write_bytes(whole[:33] + chunk + whole[33:])
            (folder / "palette").mkdir(exist_ok=True)
            Image.fromarray(clear[i, ..., :3]).quantize(40).save(folder / f"palette/{i}.png")
            (folder / "pair").mkdir(exist_ok=True)
            Image.merge("LA", [Image.fromarray(images[i]), Image.fromarray(images[i + 9])]).save(folder / f"pair/{i}.png")
            png(f"bits/{i}.png", images[i] > 99)
        same("deep", np.round(deep / 257).astype("u1"))
        same("clear", clear[..., :3])
        same("gamma", images[:5])
        same("palette", np.stack([np.asarray(Image.open(folder / f"palette/{i}.png").convert("RGB")) for i in range(5)]))
        same("pair", images[:5])
        same("bits", ((images[:5] > 99) * 255).astype("u1"))
        png("grey/zz.png", images[0][:, :5])
        assert "has 8x5 pixels, and the images before it 8x9" in call("convert", "grey", "out.npy").stderr
        # JPEG decodes to the bytes that Pillow has, in colour and in grey.
        for name, pictures in {"jpeg-grey": images, "jpeg-colour": colour}.items():
            (folder / name).mkdir()
            for i, image in enumerate(pictures):
                smooth = Image.fromarray(image).resize((33, 21), Image.Resampling.BICUBIC)
                smooth.save(folder / name / f"{i:02}.jpg", quality=60 + i, progressive=i % 2 == 1, subsampling=i % 3)
            same(name, np.stack([np.asarray(Image.open(path)) for path in sorted((folder / name).iterdir())]))
        png("torn/a.png", images[0])
        (folder / "torn/b.png").write_bytes((folder / "torn/a.png").read_bytes()[:50])
        assert "cannot be read as an image" in call("convert", "torn", "out.npy").stderr

        # What inspect says, against numpy.
        doubled = np.concatenate([with_gaps, with_gaps[:5]])
        np.save(folder / "d.npy", doubled)
        report = json.loads(call("inspect", "d.npy", "--json").stdout)
        [array] = report["arrays"]
        assert array["missing_values"] == np.isnan(doubled).sum() and array["duplicates"] == 5
        assert array["shape"] == [305, 7] and report["advice"]["likelihood"] == "table"

        # The command that inspect gives trains.
        bytes_of = lambda *shape: rng.integers(0, 256, shape).astype("u1")
        unit = rng.normal(size=(200, 60))
        makers = [
            ("gaussian", unit, ""), ("gaussian", 3000 * unit + 9000, "--scale 10000"),
            ("table", unit * 10.0 ** rng.integers(-3, 3, 60), '"60 gaussian"'), ("continuous-bernoulli", rng.random((200, 5)), ""),
            ("table", rng.normal(5, 1, (200, 4)), '"4 gaussian"'),
            ("poisson", rng.poisson(4, (200, 30)), ""), ("negative-binomial", rng.poisson(rng.gamma(1, 9, (200, 30))), ""),
            ("negative-binomial", rng.poisson(rng.gamma(1, 9, (200, 90))), "--library-size observed"),
            ("zero-inflated-negative-binomial", rng.poisson(rng.gamma(4, 3, (200, 30))) * (rng.random((200, 30)) < 0.5),
             "--library-size observed"),
            ("table", rng.integers(1000, 9000, (200, 30)), '"30 gaussian"'),
            ("gaussian", rng.integers(28_000, 50_000, (60, 8, 8)).astype("u2"), "--scale 100000"),
            ("bernoulli", rng.random((200, 9)) < 0.4, ""),
            ("discretized-logistic", bytes_of(60, 8, 8, 3), "--network conv"), ("bernoulli", bytes_of(60, 7, 5), "--binarize dynamic"),
            ("bernoulli", bytes_of(60, 100), "--binarize dynamic"), ("bernoulli", bytes_of(60, 100).astype("f4"), "--scale 255"),
            ("bernoulli", rng.integers(0, 17, (60, 8, 8)).astype("u1"), "--scale 16"),
            ("table", np.column_stack([rng.normal(40, 9, 200), rng.random(200) < 0.3, rng.lognormal(0, 1.5, 200)]),
             '"gaussian, bernoulli, log-normal"'),
            # Ages, years, sums of money, a score from 1 to 5, children.
            ("table", np.column_stack([rng.integers(18, 90, 200), rng.integers(1950, 2020, 200),
                                       rng.lognormal(10, 0.9, 200).round(), rng.integers(1, 6, 200), rng.poisson(2.5, 200)]),
             '"2 gaussian, log-normal, categorical 6, poisson"'),
        ]
        for number, (likelihood, values, flags) in enumerate(makers):
            (folder / "a b").mkdir(exist_ok=True)
            np.save(folder / f"a b/m{number}.npy", values)
            advice = json.loads(call("inspect", f"a b/m{number}.npy", "--json").stdout)["advice"]
            assert advice["likelihood"] == likelihood and flags in advice["command"], (likelihood, flags, advice)
            command = advice["command"].replace("vae-dist", program, 1)
            done = subprocess.run(
                f"{command} --steps 2 --run trial-{number} --no-report", shell=True, cwd=folder, timeout=60,
                capture_output=True, text=True)
            assert done.returncode == 0, (command, done.stderr)
        # Pixels behind a column that says what they are.
        pixels = pd.DataFrame(bytes_of(80, 64), columns=[f"p{i}" for i in range(64)])
        pixels.insert(0, "label", rng.integers(0, 4, 80))
        pixels.to_csv(folder / "o.csv", index=False)
        advice = json.loads(call("inspect", "o.csv", "--json").stdout)["advice"]
        assert advice["command"].endswith("--binarize dynamic --scale 255 --skip-columns label --labels o.csv:label"), advice
        assert "is what is read" in call("convert", "o.csv", "./o.csv").stderr
        # A column without a value, and names of rows, are left out of a table of text.
        mixed["empty"] = np.nan
        mixed["name"] = [f"row {i}" for i in range(300)]
        mixed.to_csv(folder / "n.csv", index=False)
        advice = json.loads(call("inspect", "n.csv", "--json").stdout)["advice"]
        assert '--skip-columns empty,name' in advice["command"] and "categorical 4" in advice["command"], advice
        done = subprocess.run(
            f"{advice['command'].replace('vae-dist', program, 1)} --steps 2 --run trial-n --no-report", shell=True,
            cwd=folder, timeout=60, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    print(f"{count} files read as numpy has them, {len(makers)} commands of inspect tried")


if __name__ == "__main__":
    main(sys.argv[1])
