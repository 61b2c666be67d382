"""Writes HDF5 and AnnData files with their own libraries and compares what the program makes of them.

    python Tests/Python/read_hdf5.py .build/release/vae-dist
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import warnings

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

warnings.simplefilter("ignore")


def main(program: str) -> None:
    program = str(pathlib.Path(program).resolve())
    launcher = str(pathlib.Path(__file__).resolve().parents[2] / "launch/run")
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        count = 0

        def call(*arguments: str, ranks: int = 0, memory: int = 0) -> subprocess.CompletedProcess:
            words = [launcher, "-np", str(ranks), *arguments] if ranks else [program, *arguments]
            limit = (lambda: resource.setrlimit(resource.RLIMIT_AS, (memory, memory))) if memory else None
            return subprocess.run(words, timeout=60, capture_output=True, text=True, cwd=folder, preexec_fn=limit)

        def same(data: str, expected: np.ndarray, residence: str = "", **options) -> None:
            nonlocal count
            done = call("convert", data, "out.npy", **options)
            assert done.returncode == 0, (data, done.stderr)
            found = np.load(folder / "out.npy", mmap_mode="r")
            wanted = expected if expected.dtype == np.uint8 else expected.astype("f4")
            assert found.dtype == wanted.dtype and np.array_equal(found, wanted), data
            if residence:
                [array] = json.loads(call("inspect", data, "--json", **options).stdout)["arrays"]
                assert array["residence"] == residence, (data, array)
            count += 1

        rng = np.random.default_rng(4)
        x = rng.normal(size=(500, 12)).astype("f4")
        images = rng.integers(0, 256, (300, 8, 9)).astype("u1")

        # Where elements lie as they are they are mapped, by whole rows or one after another.
        with h5py.File(folder / "a.h5", "w") as file:
            file["plain"] = x
            file.create_dataset("chunks", data=x, chunks=(7, 12))
            file.create_dataset("tiles", data=x, chunks=(7, 5))
            file.create_dataset("gzip", data=x, chunks=(7, 12), compression="gzip", shuffle=True, fletcher32=True)
            file.create_dataset("big-endian", data=x.astype(">f8"))
            file.create_dataset("half", data=x.astype("f2"))
            file.create_dataset("truth", data=x > 0)
            file.create_dataset("long", data=(x * 1000).astype("i8"), chunks=(100, 12))
            file.create_dataset("deep/er/images", data=images, chunks=(9, 8, 9))
            file.create_dataset("never written", shape=(100, 4), dtype="f4", chunks=(10, 4), fillvalue=2.5)
            file.create_dataset("lzf", data=x, compression="lzf")
            file["text"] = np.array([[b"a", b"b"]])
            file["number"] = 3.0
        same("a.h5:plain", x, "mapped")
        same("a.h5:chunks", x, "mapped")
        same("a.h5:tiles", x, "loaded")
        same("a.h5:gzip", x, "loaded")
        same("a.h5:big-endian", x, "mapped")
        same("a.h5:half", x.astype("f2"), "mapped")
        same("a.h5:truth", x > 0, "mapped")
        same("a.h5:long", (x * 1000).astype("i8"), "mapped")
        same("a.h5:deep/er/images", images, "mapped")
        same("a.h5:never written", np.full((100, 4), 2.5), "loaded")
        for data, words in {
            "a.h5": "name the one to read, for example a.h5:big-endian", "a.h5:nothing": "and no 'nothing'",
            "a.h5:text": "elements of type 'text'", "a.h5:lzf": "is compressed with 'lzf'", "a.h5:number": "has the shape []",
        }.items():
            done = call("convert", data, "out.npy")
            assert done.returncode == 65 and words in done.stderr, (data, done)
        (folder / "cut.h5").write_bytes((folder / "a.h5").read_bytes()[:4000])
        assert "it may be cut short" in call("convert", "cut.h5:plain", "out.npy").stderr
        with h5py.File(folder / "keras.h5", "w") as file:
            file["x_train"], file["y_train"], file["x_test"], file["y_test"] = (
                images, np.arange(300) % 3, images[:50], np.arange(50) % 3)
        done = call("train", "--data", "keras.h5", "--condition", "labels", "--epochs", "1", "--hidden", "9",
                    "--latent", "2", "--run", "keras", "--no-report")
        assert done.returncode == 0 and "300 training and 50 test examples" in done.stdout, done

        # AnnData: dense and sparse, compressed or not; layers; a categorical column as labels.
        counts = rng.poisson(rng.gamma(0.3, 3, (400, 1)) * rng.gamma(0.5, 1, (1, 60))).astype("f4")
        kinds = pd.Categorical(rng.choice(["b", "t", "nk"], 400))
        for form, make in {"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}.items():
            for name, compression in ((form, None), (f"{form}-gzip", "gzip")):
                data = anndata.AnnData(make(counts))
                data.layers["tripled"] = make(3 * counts)
                data.obs["kind"] = kinds
                data.write_h5ad(folder / f"{name}.h5ad", compression=compression)
                if form == "csc":
                    assert "tocsr()" in call("convert", f"{name}.h5ad", "out.npy").stderr
                    continue
                same(f"{name}.h5ad", counts, "loaded" if compression else "mapped")
                same(f"{name}.h5ad:layers/tripled", 3 * counts)

        # Values of one column add up, as scipy has it; the width of numbers is free; a column that is none is an error.
        with h5py.File(folder / "odd.h5", "w") as file:
            for name, columns in (("m", [3, 1, 1, 0]), ("bad", [3, 1, 4, 0])):
                group = file.create_group(name)
                group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", (3, 4)
                group["data"], group["indices"] = np.array([5, 2, 7, 1], "u2"), np.array(columns, "i8")
                group["indptr"] = np.array([0, 3, 3, 4], "u4")
            group = file.create_group("torn")
            group.attrs["encoding-type"], group.attrs["shape"] = "csr_matrix", (3, 4)
            group["data"], group["indices"], group["indptr"] = np.ones(4), np.arange(4), np.array([0, 5, 3, 4])
        same("odd.h5:m", np.array([[0, 9, 0, 5], [0] * 4, [1, 0, 0, 0]]), "mapped")
        assert "row 0 has a value in column 4 of 4" in call("inspect", "odd.h5:bad").stderr
        assert "beginnings of rows" in call("inspect", "odd.h5:torn").stderr

        # The same figures from the sparse file, mapped or compressed, as from a dense one; on one rank and on two.
        np.save(folder / "counts.npy", counts)
        runs = []
        for data, ranks in (("counts.npy", 0), ("csr.h5ad", 0), ("csr-gzip.h5ad", 0), ("csr.h5ad", 2), ("csr-gzip.h5ad", 2)):
            run = f"run{len(runs)}"
            done = call(
                "train", "--data", data, "--likelihood", "poisson", "--hidden", "16", "--latent", "3", "--epochs", "3",
                "--run", run, "--deterministic", "--no-report", "--threads", "1", ranks=ranks)
            assert done.returncode == 0, done.stderr
            lines = map(json.loads, (folder / run / "metrics.jsonl").read_text().splitlines())
            runs.append([line["elbo"] for line in lines if "elbo" in line])
        assert len(runs[0]) >= 6 and all(run == runs[0] for run in runs), runs
        done = call("encode", "run1", "--data", "csr.h5ad", "--labels", "csr.h5ad:obs/kind")
        assert done.returncode == 0, done.stderr
        encoded = np.load(folder / "run1/encode.npz")
        assert np.array_equal(encoded["label"], kinds.codes)
        assert np.array_equal(encoded["label_name"], kinds.astype(str)) and encoded["label_name"].dtype.kind == "U"
        [annotation] = json.loads(call("inspect", "csr.h5ad", "--json").stdout)["annotations"]
        assert annotation == {"name": "csr.h5ad:obs/kind", "classes": ["b", "nk", "t"]}, annotation
        # The same from arrays of texts, of fixed and of free length.
        with h5py.File(folder / "csr.h5ad", "r+") as file:
            file["obs/fixed"] = np.array(kinds.astype(str)).astype("S")
            file["obs/free"] = np.array(kinds.astype(str), dtype=object)
        for name in ("fixed", "free"):
            done = call("encode", "run1", "--data", "csr.h5ad", "--labels", f"csr.h5ad:obs/{name}", "--output", "e.npz")
            assert done.returncode == 0, done.stderr
            again = np.load(folder / "e.npz")
            assert all(np.array_equal(again[key], encoded[key]) for key in encoded), name
        # Matrices of other columns have none of theirs.
        wide = anndata.AnnData(counts[:, :4])
        wide.obsm["X_pca"] = counts[:, 4:8]
        wide.write_h5ad(folder / "wide.h5ad")
        assert call("convert", "wide.h5ad:obsm/X_pca", "w.csv").returncode == 0
        assert list(pd.read_csv(folder / "w.csv")) == [f"x_{i}" for i in range(4)]
        with h5py.File(folder / "many.h5", "w") as file:
            file.create_dataset("y", shape=(1 << 26,), dtype=h5py.string_dtype())
        done = call("encode", "run1", "--data", "csr.h5ad", "--labels", "many.h5:y", memory=4 << 30)
        assert done.returncode == 65 and "has the shape [67108864]" in done.stderr, done
        # Genes keep their names, and in another order they are others.
        done = call("sample", "run1", "--output", "s.csv")
        assert list(pd.read_csv(folder / "s.csv"))[:60] == [str(i) for i in range(60)], done.stderr
        turned = anndata.AnnData(counts[:, ::-1])
        turned.var_names = [str(59 - i) for i in range(60)]
        turned.write_h5ad(folder / "turned.h5ad")
        done = call("score", "run1", "--data", "turned.h5ad")
        assert done.returncode == 65 and "has '59' as column 1, where the training data have '0'" in done.stderr, done

        # More than half of the memory there may be is read row by row; the chunks that were never written are zero.
        with h5py.File(folder / "large.h5", "w") as file:
            large = file.create_dataset("x", shape=(12_000, 25_000), dtype="f4", chunks=(50, 25_000), compression="gzip")
            large[100:150] = rng.random((50, 25_000))
            expected = large[100:150]
        done = call("inspect", "large.h5", "--json", memory=2 << 30)
        [array] = json.loads(done.stdout)["arrays"]
        assert array["residence"] == "read" and array["maximum"] == expected.max() and array["duplicates"] == 11_949, array
        done = call(
            "train", "--data", "large.h5", "--hidden", "4", "--latent", "2", "--likelihood", "gaussian", "--steps", "2",
            "--global-batch-size", "8", "--test-fraction", "0.001", "--run", "large", "--no-report", memory=3 << 29)
        assert done.returncode == 0, done
    print(f"{count} HDF5 arrays read as h5py and AnnData have them, {len(runs)} runs with the same figures")


if __name__ == "__main__":
    main(sys.argv[1])
