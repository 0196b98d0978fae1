"""`tripline report` as a browser shows it: one page that needs nothing else, with charts that can be read."""

import json
import os
import re
import shutil
import subprocess

import pytest

from conftest import ROOT, TAXI, run, tripline

# Measures the page where it is drawn, and leaves what it found in the title.
MEASURE = """<script>addEventListener("load", () => {
  const box = element => element.getBoundingClientRect();
  const charts = [...document.querySelectorAll("svg")].map(svg => {
    const outer = box(svg), inside = inner => inner.left >= outer.left - 1 && inner.right <= outer.right + 1
      && inner.top >= outer.top - 1 && inner.bottom <= outer.bottom + 1;
    const texts = [...svg.querySelectorAll("text")].map(text => box(text));
    const overlap = texts.some((one, index) => texts.slice(index + 1).some(other => one.left < other.right - 1
      && other.left < one.right - 1 && one.top < other.bottom - 1 && other.top < one.bottom - 1));
    const drawn = [...svg.querySelectorAll("rect")].filter(rect => box(rect).width > 0 && box(rect).height > 0);
    return {label: svg.getAttribute("aria-label"), width: outer.width, height: outer.height, rects: drawn.length,
      outside: [...svg.children].filter(child => !inside(box(child))).length, overlap,
      fill: drawn.length ? getComputedStyle(drawn[0]).fill : null};
  });
  document.title = JSON.stringify({charts, headings: [...document.querySelectorAll("h2")].map(h => h.textContent),
    tiles: Object.fromEntries([...document.querySelectorAll(".tiles div")].map(tile =>
      [tile.lastChild.textContent, tile.firstChild.textContent])),
    requests: performance.getEntriesByType("resource").length,
    wide: document.documentElement.scrollWidth > document.documentElement.clientWidth});
})</script>"""


@pytest.fixture(scope="module")
def browser():
    """Chromium, headless."""
    program = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
    if program is None:
        assert os.environ.get("CI") != "true", "there is no Chromium: make browser installs it"
        pytest.skip("there is no Chromium: make browser installs it")
    return program


def measured(browser, page, folder):
    """What the browser makes of a page."""
    probe = folder / "probe.html"
    probe.write_text(page.read_text().replace("</body>", MEASURE + "</body>"))
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={folder / 'profile'}", "--window-size=1100,900", "--virtual-time-budget=5000",
         "--dump-dom", probe.as_uri()],
        capture_output=True, text=True, timeout=120,
    )
    title = re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title and title[1].startswith("{"), done.stderr[-2000:]
    return json.loads(title[1].replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">"))


def test_a_lake_is_one_page_that_a_browser_draws(browser, folder_lake, tmp_path):
    run(folder_lake, source=ROOT / "events" / "kinesis-poison.json")
    run(folder_lake, source=ROOT / "events" / "kinesis-late.json")
    page = tmp_path / "report.html"
    said = tripline("report", "--pipeline", TAXI, "--lake", folder_lake, "--output", page)
    assert said.startswith("6,529 rows in "), said
    assert not re.search(r"(src|href)=|url\(|@import", page.read_text()), "it needs nothing else"

    found = measured(browser, page, tmp_path)
    assert found["requests"] == 0 and not found["wide"], found
    assert found["tiles"]["records committed"] == "6,531"
    assert found["tiles"]["dead letters"] == "8"
    charts = {chart["label"]: chart for chart in found["charts"]}
    for label in ["rows per 6 hours", "rows", "files", "dead letters"]:
        assert label in charts, list(charts)
    for chart in found["charts"]:
        assert chart["rects"] > 0 and chart["width"] > 500 and chart["height"] > 20, chart
        assert chart["outside"] == 0 and not chart["overlap"], chart
        assert chart["fill"] not in ("none", "rgb(0, 0, 0)"), chart
    # A month in columns of six hours, each of several boroughs; the year 2041 is not drawn.
    assert charts["rows per 6 hours"]["rects"] > 300
    for heading in ["trip: rows", "trip: by pickup_borough", "Lateness", "Throughput", "trip: sizes of files", "Dead letters: why"]:
        assert heading in found["headings"], found["headings"]


def test_an_empty_lake_has_a_page_too(browser, tmp_path):
    nothing = tmp_path / "nothing.jsonl"
    nothing.write_text("")
    run(tmp_path / "lake", source=nothing)
    page = tmp_path / "report.html"
    tripline("report", "--pipeline", TAXI, "--lake", tmp_path / "lake", "--output", page)
    found = measured(browser, page, tmp_path)
    assert found["tiles"]["records committed"] == "0" and "Lateness" in found["headings"], found
