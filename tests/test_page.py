"""The page in a real browser, against a real service, with drawn photographs only."""

import base64
import os
import re
import shutil
from pathlib import Path

import artefacts
import numpy as np
import odd_files
import pytest
import served
from PIL import Image

from skincnn import dermoscopy

sync_api = pytest.importorskip("playwright.sync_api")
for needed in ("fastapi", "uvicorn", "onnxruntime", "onnx"):
    pytest.importorskip(needed)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(
                executable_path=CHROMIUM,
                args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"],
            )
        except sync_api.Error as error:
            pytest.skip(f"no browser: install chromium ({str(error).splitlines()[0][:80]})")
        yield browser
        browser.close()


@pytest.fixture
def pictures(tmp_path):
    """Where pictures of the page go: with PAGE_PICTURES=FOLDER they stay, to be looked at."""
    folder = Path(os.environ.get("PAGE_PICTURES", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return artefacts.write(tmp_path_factory.mktemp("model") / "by_colour.onnx")


@pytest.fixture(scope="module")
def running(model):
    with served.serve(model) as service:
        yield service


@pytest.fixture
def opened(browser, running):
    """`opened(width=…, dark=…)`: the page, which may ask nobody but its service."""
    contexts, asked, faults = [], [], []

    def open_page(width=1100, height=900, dark=False, address=running.address, known=True):
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            has_touch=width < 500,
        )
        contexts.append(context)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        if known:
            page.locator("#model", has_text="version").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert asked and not faults
    assert not [url for url in asked if not re.match(r"(blob:)?http://127\.0\.0\.1:\d+/", url)]


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Drawn lesions, washed with the colours that the network answers to."""
    folder = tmp_path_factory.mktemp("photographs")
    for name, colour in {
        "red": artefacts.RED,
        "blue": artefacts.BLUE,
        "grey": artefacts.GREY,
        "green": artefacts.GREEN,
    }.items():
        rng = np.random.default_rng(len(name))
        drawn = np.asarray(dermoscopy.draw("nevus", rng, rng)).astype(float)
        washed = drawn - drawn.mean(axis=(0, 1)) + np.array(colour)
        picture = Image.fromarray(washed.clip(0, 255).astype(np.uint8))
        picture.save(folder / f"{name}.jpg", quality=92)
    (folder / "text.jpg").write_text("no photograph")
    return folder


@pytest.fixture(scope="module")
def large(photographs, tmp_path_factory):
    """A photograph of more bytes than the service takes."""
    path = tmp_path_factory.mktemp("large") / "large.jpg"
    path.write_bytes((photographs / "red.jpg").read_bytes() + bytes(21 * 2**20))
    return path


def card(page, name):
    """The card of a file, once it is answered."""
    found = page.get_by_role("article", name=name)
    found.and_(page.locator("[aria-busy=false]")).wait_for()
    return found


def words(page, name):
    return card(page, name).locator(".word").inner_text()


def drop(page, *paths):
    files = [{"name": p.name, "data": base64.b64encode(p.read_bytes()).decode()} for p in paths]
    page.evaluate(
        """(files) => {
            const carried = new DataTransfer();
            for (const { name, data } of files) {
                const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                carried.items.add(new File([bytes], name, { type: "image/jpeg" }));
            }
            for (const kind of ["dragenter", "dragover", "drop"]) {
                document.querySelector("#drop").dispatchEvent(
                    new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: carried })
                );
            }
        }""",
        files,
    )


def test_several_photographs_are_dropped_and_each_is_answered(opened, photographs, pictures):
    page = opened()
    assert "Not a medical device" in page.locator("#notice").inner_text()
    drop(page, *sorted(photographs.glob("*.jpg")))
    assert words(page, "red.jpg") == "Looks malignant"
    assert words(page, "blue.jpg") == "Looks benign"
    assert words(page, "grey.jpg") == "Not sure"
    assert words(page, "green.jpg") == "Not a lesion"
    assert words(page, "text.jpg") == "No answer"
    assert "not a picture" in card(page, "text.jpg").inner_text()
    assert page.locator("#tally").inner_text() == "5 photographs"
    red = card(page, "red.jpg")
    shares = [int(t.strip("<> %")) for t in red.locator(".classes b").all_inner_texts()]
    assert shares == sorted(shares, reverse=True) and 98 <= sum(shares) <= 102
    wide = red.locator(".part").first.bounding_box()["width"]
    assert wide > 2 * red.locator(".part").last.bounding_box()["width"]
    assert "of such photographs" in red.locator(".range").inner_text()
    assert not card(page, "green.jpg").locator(".risk").is_visible()
    red.get_by_role("button", name="Show what matters").click()
    red.locator(".overlay").wait_for(state="visible")
    page.wait_for_timeout(400)  # cards fade in
    page.screenshot(path=pictures / "desktop.png", full_page=True)


def test_an_overlay_on_request(opened, photographs):
    page = opened()
    page.set_input_files("#pick", photographs / "red.jpg")
    red = card(page, "red.jpg")
    button = red.get_by_role("button", name="Show what matters")
    button.click()
    red.locator(".overlay").wait_for(state="visible")
    assert red.locator(".overlay").evaluate("image => image.decode().then(() => true)")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert not red.locator(".overlay").is_visible()


def test_with_the_keyboard_alone(opened, photographs):
    page = opened()
    page.on("filechooser", lambda _: None)  # from here on dialogs are caught, not only from the key
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "pick":
            break
    else:
        pytest.fail("the button that picks photographs is not reached")
    ring = page.locator("label", has=page.locator("#pick"))
    assert ring.evaluate("element => getComputedStyle(element).outlineStyle") == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Space")
    chooser.value.set_files([photographs / "red.jpg", photographs / "blue.jpg"])
    card(page, "red.jpg")
    card(page, "blue.jpg")
    assert "probability of malignancy" in page.get_by_role("status").inner_text()
    names = []
    for _ in range(12):
        page.keyboard.press("Tab")
        names.append(page.evaluate("document.activeElement.ariaLabel") or "")
        if names[-1] == "Remove red.jpg":
            page.keyboard.press("Enter")
            break
    else:
        pytest.fail(f"reached {names}")
    assert page.get_by_role("article").count() == 1
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove blue.jpg"  # not lost


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_on_a_phone(opened, photographs, pictures, dark):
    page = opened(width=360, height=740, dark=dark)
    page.set_input_files("#camera", photographs / "grey.jpg")
    drop(page, photographs / "red.jpg", photographs / "text.jpg")
    for name in ("grey.jpg", "red.jpg", "text.jpg"):
        card(page, name)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    right = "e => e.getBoundingClientRect().right"
    bar, button = (page.locator(of).evaluate(right) for of in (".bar", "#clear"))
    assert button <= bar  # beside the count of photographs
    assert page.locator("#camera").get_attribute("capture") == "environment"
    small = """() => [...document.querySelectorAll("button, .button")]
        .filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 43)
        .map((e) => e.outerHTML)"""
    assert page.evaluate(small) == []  # for a finger
    page.wait_for_timeout(400)
    page.screenshot(path=pictures / f"phone{'_dark' * dark}.png", full_page=True)


CONTRASTS = """() => {
    const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
    const luminance = (colour) => {
        const [r, g, b] = numbers(colour).slice(0, 3)
            .map((v) => v / 255)
            .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (element) => {
        for (let e = element; e; e = e.parentElement) {
            const colour = getComputedStyle(e).backgroundColor;
            if ((numbers(colour)[3] ?? 1) === 1) return colour;
        }
        return getComputedStyle(document.body).backgroundColor;
    };
    const weak = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
        if (!own || !element.checkVisibility()) continue;
        const [a, b] = [getComputedStyle(element).color, ground(element)].map(luminance);
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (contrast < 4.5) weak.push(`${element.className} ${contrast.toFixed(1)}`);
    }
    return weak;
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_every_text_can_be_read(opened, photographs, pictures, dark):
    page = opened(dark=dark)
    drop(page, *sorted(photographs.glob("*.jpg")))
    for name in ("red.jpg", "blue.jpg", "grey.jpg", "green.jpg", "text.jpg"):
        card(page, name)
    page.wait_for_timeout(400)  # cards fade in
    assert page.evaluate(CONTRASTS) == []
    page.screenshot(path=pictures / f"colours{'_dark' * dark}.png", full_page=True)


@pytest.mark.skipif(
    not os.environ.get("PAGE_MODEL"),
    reason="PAGE_MODEL=FILE.onnx and PAGE_PICTURES=docs draw README's picture again",
)
def test_the_picture_in_the_readme(opened, pictures):
    from skincnn import config, data

    index = data.usable(data.load("sample", progress=False))
    index = index[index["split"] == "test"].drop_duplicates("label").set_index("label")
    with served.serve(os.environ["PAGE_MODEL"]) as service:
        page = opened(width=1000, address=service.address)
        for label in ("vascular lesion", "melanoma"):
            path = config.sample_dir() / index.loc[label, "file"]
            page.set_input_files("#pick", path)
            last = card(page, path.name)
        last.get_by_role("button", name="Show what matters").click()
        last.locator(".overlay").wait_for(state="visible")
        page.wait_for_timeout(400)
        page.screenshot(path=pictures / "page.png", full_page=True)


def test_a_service_that_is_gone_and_comes_back(opened, photographs, large, model, pictures):
    with served.serve(model) as service:
        page = opened(address=service.address)
        page.set_input_files("#pick", [photographs / "red.jpg", photographs / "text.jpg", large])
        for name in ("red.jpg", "text.jpg", "large.jpg"):
            card(page, name)
        port = service.address.rpartition(":")[2]
    page.set_input_files("#pick", photographs / "blue.jpg")
    assert words(page, "blue.jpg") == "No answer"
    assert "does not answer" in page.get_by_role("alert").inner_text()
    assert words(page, "red.jpg") == "Looks malignant"  # what was answered stays
    page.wait_for_timeout(400)
    page.screenshot(path=pictures / "error.png", full_page=True)
    with served.serve(model, PORT=port):
        page.get_by_role("button", name="Try blue.jpg again").click()
        page.get_by_role("button", name="Try blue.jpg again").wait_for(state="hidden")
        assert words(page, "blue.jpg") == "Looks benign"
        assert not page.get_by_role("alert").is_visible()


def test_a_service_that_wants_a_key(opened, photographs, model):
    with served.serve(model, "--api-key-env", "KEY", KEY="sesame") as service:
        page = opened(address=service.address, known=False)
        for key, button in (("wrong", "Use it"), ("sesame", "Use it")):
            page.get_by_label("Key", exact=True).fill(key)
            page.get_by_role("button", name=button).click()
        page.locator("#model", has_text="version").wait_for()
        page.set_input_files("#pick", photographs / "red.jpg")
        assert words(page, "red.jpg") == "Looks malignant"


def test_a_file_too_large_is_not_sent(opened, large):
    page = opened()
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    page.set_input_files("#pick", large)
    assert "larger than 20 MB" in card(page, "large.jpg").inner_text()
    assert not [url for url in sent if url.endswith("/api/classify")]


def test_a_kind_the_browser_cannot_show_is_answered(opened, photographs, tmp_path):
    page = opened()
    with Image.open(photographs / "red.jpg") as picture:
        (tmp_path / "scan.tif").write_bytes(odd_files.saved(picture.convert("RGB"), "TIFF"))
    page.set_input_files("#pick", tmp_path / "scan.tif")
    assert words(page, "scan.tif") == "Looks malignant"
    assert card(page, "scan.tif").get_by_text("No preview").is_visible()


def test_the_description_of_the_addresses(opened, running):
    page = opened()
    page.get_by_role("link", name="API").click()
    page.get_by_text("/v1/models/by_colour:predict", exact=True).click()
    assert "base64" in page.locator("details[open]").inner_text()
