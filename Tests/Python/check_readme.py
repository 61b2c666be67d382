"""Runs the README's own lines of PyTorch on a run like the README's, where torch is installed.

    python Tests/Python/check_readme.py .build/release/vae-dist
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def main(program: str) -> None:
    program = str(pathlib.Path(program).resolve())
    text = (pathlib.Path(__file__).parents[2] / "README.md").read_text()
    [lines] = [part for part in re.findall(r"```python\n(.*?)```", text, re.S) if "import numpy, torch" in part]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        run = lambda *arguments: subprocess.run(
            [program, *arguments], check=True, timeout=60, capture_output=True, text=True).stdout
        run("train", "--run", "runs/a", "--hidden", "100", "--activation", "relu", "--epochs", "20", "--no-report")
        run("reconstruct", "runs/a", "--count", "180")
        report = json.loads(run("evaluate", "runs/a", "--json"))
        found: dict = {}
        exec(lines, found)
        # Both figures are means over the same examples, with other draws.
        draws = found["log_p"].std() / len(found["x"]) ** 0.5
        difference = abs(found["elbo"].mean() - report["elbo"])
        assert difference < 4 * draws * 2**0.5 and difference < 0.5, (found["elbo"].mean(), report["elbo"])
        encoded = found["q"].mean
        assert abs(found["elbo"].mean() + 25) < 5 and encoded.shape == (180, 20)
    print("the README's PyTorch gives the program's ELBO")


if __name__ == "__main__":
    try:
        import torch  # noqa: F401
    except ImportError:
        print("torch is not installed: the README's PyTorch was not run")
        sys.exit(0)
    main(sys.argv[1])
