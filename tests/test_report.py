"""The audit's page: whole in one file, opened by a real browser where there is one."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageOps

from skincnn import audit, data, report

CHROMIUM = shutil.which("chromium")


@pytest.fixture
def page(tmp_path, home, draw):
    root = draw(tmp_path / "set", {"Train/red": 3, "Train/<b>blue": 3, "Test/red": 1}, size=64)
    first, second, *_ = sorted((root / "Train" / "red").glob("*.jpg"))
    shutil.copy(first, root / "Train" / "<b>blue" / "copy.jpg")
    with Image.open(second) as picture:
        ImageOps.mirror(picture).save(root / "Test" / "red" / "mirrored.png")
    (root / "Train" / "red" / "broken.jpg").write_text("no picture")
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(root / "Train" / "red" / "plain.png")
    found = audit.run(data.load(root, progress=False), progress=False)
    return report.write(found, tmp_path / "out")


def test_the_page_shows_what_was_found_and_fetches_nothing(page):
    text = page.read_text()
    for section in ("identical", "near", "odd", "unusable"):
        assert f'<h2 id="{section}">' in text
    assert "under two names" in text
    assert "flipped left to right" in text
    assert "broken.jpg" in text
    assert "<b>blue" not in text, "a class name is text, not a tag"
    sources = re.findall(r'src="([^"]{0,30})', text)
    assert sources
    assert all(s.startswith("data:image/jpeg;base64,") for s in sources)
    assert not re.search(r"https?://|@import|<script", text)
    names = {p.name for p in page.parent.iterdir()}
    assert names == {"report.html", "audit.json", "findings.csv", "pairs.csv"}


def test_sections_without_findings_are_left_out(tmp_path, home, draw):
    root = draw(tmp_path / "set", {"red": 2, "blue": 2}, size=64)
    found = audit.run(data.load(root, progress=False), progress=False)
    text = report.write(found, tmp_path / "out").read_text()
    assert re.findall(r'<h2 id="(\w+)"', text) == ["classes"]
    assert "nothing found" in text


def test_names_that_predictions_doubt_are_shown(tmp_path, home, draw):
    root = draw(tmp_path / "set", {"red": 2, "blue": 2}, size=64)
    found = audit.run(data.load(root, progress=False), progress=False)
    doubted = pd.DataFrame(
        {"file": found.index["file"][:1], "label": "red", "suggested": "<i>blue"}
    ).assign(p_label=0.04, p_suggested=0.91)
    text = report.write(found, tmp_path / "out", doubted).read_text()
    assert re.findall(r'<h2 id="(\w+)"', text) == ["classes", "doubted"]
    assert "&lt;i&gt;blue 91%, red 4%" in text and text.count("<figure>") == 1
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "out" / "suspicious.csv"), doubted)
    with pytest.raises(ValueError, match="another set: elsewhere"):
        report.write(found, tmp_path / "out", doubted.assign(file="elsewhere.jpg"))


@pytest.mark.skipif(not CHROMIUM, reason="needs Debian's chromium")
def test_a_browser_draws_it(page, tmp_path):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,1600"]
    command += ["--disable-background-networking", f"--user-data-dir={tmp_path / 'profile'}"]
    shot = tmp_path / "page.png"
    done = subprocess.run(
        [*command, f"--screenshot={shot}", page.as_uri()], capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    with Image.open(shot) as picture:
        colours = picture.convert("RGB").getcolors(2**24)
    assert len(colours) > 500, "text, tables and photographs, not an empty page"
