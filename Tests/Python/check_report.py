"""Opens reports in a real browser: nothing is loaded or complained of, nothing is too wide, and there
is something to see, on a phone and a wide screen, in light and dark, and on paper.

    python Tests/Python/check_report.py .build/release/vae-dist [FOLDER FOR SCREENSHOTS]
"""

import io
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
from PIL import Image
from playwright.sync_api import sync_playwright

MODELS = {
    "images": ["--latent", "5"],
    "plane": ["--latent", "2", "--prior", "mixture", "--prior-components", "5"],
    "spectra": ["--data", "{folder}/spectra.npy", "--likelihood", "gaussian", "--latent", "1"],
    "table": ["--data", "{folder}/table.csv", "--likelihood", "table", "--columns",
              "2 gaussian, bernoulli, poisson, categorical 3", "--labels", "{folder}/table.csv:kind"],
    "gone": ["--data", "{folder}/gone.npy", "--likelihood", "gaussian", "--latent", "3"],
}


def main(program: str, keep: str | None) -> None:
    program = str(pathlib.Path(program).resolve())
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(keep or temporary).resolve()
        folder.mkdir(exist_ok=True)
        rng = np.random.default_rng(1)
        shift = rng.uniform(0, 6, (400, 1))
        np.save(folder / "spectra.npy", np.sin(np.linspace(0, 9, 120) + shift).astype("f4"))
        table = pd.DataFrame(rng.normal(50, 9, (400, 2)), columns=["age", "size & weight"])
        table["ill"], table["visits"] = rng.random(400) < 0.3, rng.poisson(4, 400)
        table["kind"] = rng.choice(["B cell", "T <cell>", "NK"], 400)
        table.to_csv(folder / "table.csv", index=False)
        np.save(folder / "gone.npy", rng.normal(size=(300, 8, 8)))
        run = lambda *arguments: subprocess.run(
            [program, *arguments], check=True, timeout=120, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, cwd=folder)
        for name, flags in MODELS.items():
            run("train", "--run", f"{name} <&> run", "--epochs", "5", "--hidden", "30",
                *(flag.format(folder=folder) for flag in flags))
        run("report", *(f"{name} <&> run" for name in ("images", "plane")), "--output", "both.html")
        # Data that are gone cost what needs them alone.
        (folder / "gone.npy").unlink()
        run("report", "gone <&> run")
        reports = {name: folder / f"{name} <&> run" / "report.html" for name in MODELS}
        reports["both"] = folder / "both.html"
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path="/usr/bin/chromium", args=["--no-sandbox"])
            for name, path in reports.items():
                check(browser, name, path, folder)
            browser.close()
    print(f"{len(reports)} reports seen")


def check(browser, name: str, path: pathlib.Path, folder: pathlib.Path) -> None:
    for size, scheme in [((1600, 1000), "light"), ((390, 844), "dark"), ((390, 844), "light")]:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True)
        page = context.new_page()
        troubles: list[str] = []
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:"))
                or troubles.append(request.url))
        page.goto(path.as_uri())
        what = f"{name} {size[0]} {scheme}"
        assert not troubles, (what, troubles)
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], what
        assert page.evaluate("[...document.images].every(i => i.naturalWidth > 0)"), what
        assert "<&> run" in page.title(), page.title()
        charts = page.locator("svg.chart")
        assert charts.count() >= (3 if name == "gone" else 4), (what, charts.count())
        text = page.inner_text("body")
        if name == "table":
            assert "size & weight" in text and "T <cell>" in text and "draws of the model" in text, text
        if name == "gone":
            assert "The data cannot be read" in text and page.locator("img").count() == 2, text
        if name in ("images", "plane"):
            assert page.locator("img").count() == 3, what
            assert page.locator("circle.dot").count() > 100, what
        if name == "both":
            assert page.locator("img").count() == 6, what
            assert "What differs" in text and "prior-components" in text, text
        shot = page.screenshot(path=folder / f"{name}-{size[0]}-{scheme}.png", full_page=True)
        pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("L")).astype(int)
        # The corner is paper: light or dark as asked; and there is ink of many shades on it.
        assert (pixels[:4, :4].mean() > 200) == (scheme == "light"), what
        assert len(np.unique(pixels)) > 60, what
        # A line of each chart has its colour.
        color = page.evaluate(
            "getComputedStyle(document.querySelector('svg.chart .line')).stroke")
        assert color.startswith("rgb"), color
        context.close()
    page = browser.new_page()
    page.goto(path.as_uri())
    assert len(page.pdf(format="A4")) > 10_000
    page.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
