"""A real browser without a screen and without a network."""

import io
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from matplotlib import image
from selenium import webdriver
from selenium.webdriver.remote.webelement import WebElement

# A page that slides into place moves between the aim at a button and the click, which then meets its neighbour.
STILL = """
    const still = new CSSStyleSheet();
    still.replaceSync("* { transition: none !important }");
    document.adoptedStyleSheets.push(still);
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    """Chromium or Chrome, which finds no host."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "window-size=1600,1200"):
        options.add_argument(f"--{argument}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    driver.implicitly_wait(10)
    driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": STILL})
    yield driver
    driver.quit()


def ink(element: WebElement) -> float:
    """The share of an element's pixels that are not white, as the browser shows it."""
    pixels = image.imread(io.BytesIO(element.screenshot_as_png))
    return float(np.mean((pixels[..., :3] < 0.95).any(axis=-1)))
