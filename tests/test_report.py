"""The report as its reader sees it: `snakemake --report` of a whole sweep, in a browser without a network."""

import json
import re
from html import unescape
from pathlib import Path

import pytest
import yaml
from browser import ink
from checkout import REPOSITORY, Checkout
from made_up import write_records
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.wait import WebDriverWait

from fastscale.analysis import aggregate
from fastscale.analysis.claims import VERDICTS
from fastscale.sweep.catalogue import ARTEFACTS
from fastscale.sweep.sweep import Sweep

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(checkout: Checkout) -> Path:
    """The report of made-up records of the default sweep."""
    checkout.configure(**yaml.safe_load((REPOSITORY / "config.yaml").read_text()))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(checkout.folder)
        sweep = write_records(Sweep.from_config(yaml.safe_load(Path("config.yaml").read_text())))
        for artefact in sweep.artefacts:
            aggregate(sweep, artefact)
    made = checkout.snakemake("--report", "report.html")
    assert made.returncode == 0, made.stdout
    return checkout.folder / "report.html"


def open_category(browser: WebDriver, report: Path, category: str) -> list[str]:
    """Show a category, and return the lines that it lists."""
    browser.get(report.as_uri())
    browser.find_element(By.LINK_TEXT, category).click()
    return [row.text for row in browser.find_elements(By.CSS_SELECTOR, "tbody tr")]


def show(browser: WebDriver, i: int) -> None:
    """Show the result in line `i` of a category, and then its caption."""
    for button in browser.find_elements(By.CSS_SELECTOR, "tbody tr")[i].find_elements(By.TAG_NAME, "a"):
        button.click()


def test_claims_come_first(browser: WebDriver, report: Path) -> None:
    browser.get(report.as_uri())
    listed = [link.text for link in browser.find_elements(By.TAG_NAME, "a")]
    assert next(name for name in listed if name in ("Claims", "Figures", "Sweep", "Tables")) == "Claims"
    assert len(open_category(browser, report, "Claims")) == 1
    show(browser, 0)
    browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
    verdicts = [cell.text for cell in browser.find_elements(By.CSS_SELECTOR, "td:last-child")]
    browser.switch_to.default_content()
    assert len(verdicts) > 50 and {verdict.split(":")[0] for verdict in verdicts} <= {*VERDICTS, "yes", "no"}


@pytest.mark.parametrize(("category", "count"), [("Figures", 12), ("Sweep", 1)])
def test_each_figure_is_drawn_and_has_a_caption(browser: WebDriver, report: Path, category: str, count: int) -> None:
    """Sweep: the learning curves."""
    listed = open_category(browser, report, category)
    show(browser, 0)
    figures = [i for i, line in enumerate(listed) if re.match(r"Figure|Learning", line)]
    assert len(figures) == count
    if category == "Figures":
        assert [re.match(r"Figure\s+(\d+)", line)[1] for line in listed] == [str(i) for i in range(1, 13)]
    seen = set()
    for i in figures:
        browser.find_element(By.LINK_TEXT, category).click()  # back to the list
        show(browser, i)
        images = browser.find_elements(By.CSS_SELECTOR, "img[src^='data:image/svg']")  # icons too
        figure = max(images, key=lambda image: image.size["width"])
        browser.execute_script("return arguments[0].decode()", figure)  # until then, the one before is shown
        seen.add(figure.get_attribute("src"))
        assert figure.size["width"] > 300 and 0.01 < ink(figure) < 0.6, listed[i]
        text = browser.find_element(By.TAG_NAME, "body").text
        assert "Made from " in text, listed[i]
    assert len(seen) == count


def test_each_caption_is_of_its_own_artefact(report: Path) -> None:
    """Many artefacts are made by one job, and all captions by one template."""
    results, _ = json.JSONDecoder().raw_decode(
        report.read_text().partition('<script id="results">')[2].partition("= ")[2]
    )
    captions = {Path(path).stem: unescape(result["caption"]) for path, result in results.items()}
    assert {"claims", "fig3", "learning", "table1"} <= captions.keys()
    for name, caption in captions.items():
        assert ARTEFACTS[name].caption in " ".join(caption.split()), name


def test_each_table_is_shown(browser: WebDriver, report: Path) -> None:
    listed = open_category(browser, report, "Tables")
    assert sum(line.startswith("Table") for line in listed) == 8
    show(browser, 0)
    seen: set[str] = set()

    def is_another(_: WebDriver) -> bool:
        """Say whether the frame shows another page than those before."""
        browser.switch_to.default_content()
        browser.switch_to.frame(browser.find_element(By.TAG_NAME, "iframe"))
        return browser.find_element(By.TAG_NAME, "h1").text not in seen

    for i in range(len(listed)):
        browser.find_element(By.LINK_TEXT, "Tables").click()  # back to the list
        show(browser, i)
        WebDriverWait(browser, 60, ignored_exceptions=[WebDriverException]).until(is_another)
        seen.add(browser.find_element(By.TAG_NAME, "h1").text)
        assert len(browser.find_elements(By.CSS_SELECTOR, "tbody tr")) >= 3, listed[i]
        browser.switch_to.default_content()


def test_it_needs_no_network(browser: WebDriver, report: Path) -> None:
    browser.get_log("browser")
    browser.get(report.as_uri())
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []
