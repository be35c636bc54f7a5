"""report.html in a real browser: quiet, without a network, and everything on it works."""

from __future__ import annotations

from pathlib import Path

import browser
import framed
import pandas as pd
import pytest
from browser import Browser

from bench.analysis.report.page import make_report
from bench.results.published import Published

pytestmark = pytest.mark.skipif(
    browser.PROGRAM is None, reason="no Chromium here: install Debian's package chromium"
)
TOLD = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
ACCURACIES = {
    "standard": [(95.0, 0.0), (94.0, 0.0)],
    "trades": [(82.0, 49.0), (82.4, 49.6)],
    "trades_beta1": [(88.0, 43.0), (88.0, 44.0)],
    "memloss_v1": [(84.0, 48.0), (84.2, 48.2)],
}
FRONTIER = """document.querySelector('[data-chart^="frontier/"]')"""
SHOWN = f"""{FRONTIER}.data.filter((t) => t.visible).map(
  (t) => [t.meta.kind, t.legendgroup || ""].join(" ").trim()).join()"""
# Where the first mean of TRADES is in the window, in CSS pixels.
PLACE = f"""(() => {{
  const plot = {FRONTIER};
  plot.scrollIntoView({{block: "center"}});
  const trace = plot.data.find((t) => t.legendgroup === "trades" && t.meta.kind === "mean");
  const {{xaxis, yaxis}} = plot._fullLayout, box = plot.getBoundingClientRect();
  return [box.left + xaxis._offset + xaxis.d2p(trace.x[0]),
    box.top + yaxis._offset + yaxis.d2p(trace.y[0])];
}})()"""


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    frames = [framed.summary(ACCURACIES), framed.summary(ACCURACIES, attack="pgd20")]
    frame = pd.concat(frames, ignore_index=True)
    theirs = framed.summary({"Rice2020": [(85.3, 53.4)]}, model="robustbench")
    frame = pd.concat([frame, theirs], ignore_index=True)
    frame = frame.drop_duplicates(["method", "seed", "checkpoint", "attack"], ignore_index=True)
    history = [
        framed.history(method, 0, [50.0, 60.0], [30.0, 35.0], forgetting_rate=[None, 9.0])
        for method in ACCURACIES
    ]
    published = Published(
        reported=framed.reported("memloss_v1", 84.52, 48.87),
        cards=(framed.card("Wong2020Fast", 83.34, 43.21),),
    )
    out = tmp_path_factory.mktemp("page") / "report.html"
    results = framed.results(frame, history=pd.concat(history, ignore_index=True))
    make_report(results, published, None, out)
    return out


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(path, chromium) -> Browser:
    chromium.open(path)
    chromium.run(f"{FRONTIER}.scrollIntoView()")
    chromium.wait(f"{FRONTIER}.querySelector('.main-svg') !== null")
    return chromium


def choose(page: Browser, selector: str, value: str | bool) -> None:
    """Choose an option, or set or clear a checkbox, as a user does."""
    what = "checked" if isinstance(value, bool) else "value"
    told = str(value).lower() if isinstance(value, bool) else f"'{value}'"
    page.run(
        f"(() => {{ const it = document.querySelector(`{selector}`); it.{what} = {told};"
        " it.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def column(page: Browser, table: str, name: str) -> list[str]:
    return page.run(
        f"(() => {{ const table = document.getElementById('{table}');"
        "const place = [...table.tHead.rows[0].cells].findIndex("
        f"(th) => th.textContent === '{name}');"
        "return [...table.tBodies[0].rows].filter((row) => !row.hidden)"
        ".map((row) => row.cells[place].firstElementChild.textContent); })()"
    )


def test_it_says_nothing_on_the_console_asks_for_nothing_and_draws_what_comes_into_view(page):
    plots = "[...document.querySelectorAll('.plot')]"
    assert page.run(f"{plots}.some((plot) => !plot.querySelector('.main-svg'))")
    for place in range(page.run(f"{plots}.length")):
        page.run(f"{plots}[{place}].scrollIntoView()")
        page.wait(f"{plots}[{place}].querySelector('.main-svg') !== null")
    assert [event for event in page.events if event.get("method") in TOLD] == []
    asked = [
        event["params"]["request"]["url"]
        for event in page.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1


def test_hovering_a_point_shows_its_numbers(page):
    page.point(*page.run(PLACE))
    text = "document.querySelector('.hoverlayer')?.textContent || ''"
    page.wait(f"({text}).includes('mean of 2 seeds')")
    assert "82.20 ± 0.28 %" in page.run(text)


@pytest.mark.parametrize(
    ("switch", "value", "gone", "come"),
    [
        ('[data-key="checkpoint"]', "best", None, None),
        ('[data-key="seeds"]', "mean betas hull", "seed trades", None),
        ('[data-key="seeds"]', "seed", "mean trades", None),
        ('[data-kind="paper"]', False, "paper memloss_v1", None),
        ('[data-kind="card"]', True, None, "card"),
        ('.legend [value="Rice2020"]', False, "reference Rice2020", None),
        ('[data-kind="far"]', True, None, "mean standard"),
        ('#frontier-section .legend [value="memloss_v1"]', False, "mean memloss_v1", None),
    ],
)
def test_every_switch_changes_the_chart(page, switch, value, gone, come):
    before = page.run(SHOWN).split(",")
    choose(page, switch, value)
    after = page.run(SHOWN).split(",")
    assert (before == after) == (gone is come is None)
    for name, had in ((gone, True), (come, False)):
        if name:
            assert (name in before, name in after) == (had, not had)


def test_the_chart_follows_the_attack(page):
    choose(page, '[data-key="attack"]', "pgd20")
    page.wait(f"{FRONTIER}.querySelector('.ytitle').textContent === 'PGD-20 accuracy, %'")


def test_arrow_keys_go_from_point_to_point_and_say_what_is_there(page):
    live = "document.querySelector('[data-live]').textContent"
    page.run(f"{FRONTIER}.focus()")
    page.press("ArrowRight")
    page.wait(f"{live}.includes('Clean')")
    first = page.run(live)
    page.press("ArrowRight")
    page.wait(f"{live} !== {first!r}")


def test_tables_sort_both_ways_and_filter(page):
    button = "#summary thead th:nth-child(6) button"
    for direction in ("ascending", "descending"):
        page.run(f"document.querySelector('{button}').click()")
        values = [float(text) for text in column(page, "summary", "Accuracy, %")]
        assert values == sorted(values, reverse=direction == "descending")
        sort = "document.querySelector('#summary [aria-sort]').getAttribute('aria-sort')"
        assert page.run(sort) == direction
    choose(page, '[data-filters="summary"] [data-key="Method"]', "TRADES (β=6)")
    assert set(column(page, "summary", "Method")) == {"TRADES (β=6)"}


def test_every_control_can_be_reached_with_the_keyboard_and_has_a_name(page):
    nameless = page.run(
        "[...document.querySelectorAll('main select, main input, main button')].filter((it) =>"
        " it.tabIndex < 0 || !(it.labels?.[0] || it).textContent.trim()).length"
    )
    assert nameless == 0


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_window_does_not_scroll_sideways(page, path, width):
    page.open(path, width)
    page.wait("document.documentElement.classList.contains('js')")
    page.run("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width


def only_tables(page):
    """Say whether the page tells why there is no figure, and leaves no room for one."""
    told = "The figures need JavaScript and a browser" in page.run("document.body.innerText")
    return told and page.run("document.querySelector('figure').offsetHeight") == 0


def test_without_javascript_tables_are_there_and_no_empty_figure(page, path):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(path)
        assert only_tables(page)
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


@pytest.mark.parametrize(
    "older",
    ["delete window.DecompressionStream", "window.atob = () => { throw Error('damaged'); }"],
)
def test_a_browser_that_cannot_unpack_the_figures_shows_the_tables(page, path, older):
    script = page.call("Page.addScriptToEvaluateOnNewDocument", source=older)
    try:
        page.open(path)
        page.wait("!document.documentElement.classList.contains('charts')")
        assert only_tables(page)
        assert column(page, "summary", "Method")
        page.run("document.querySelector('#summary thead button').click()")
        assert page.run("document.querySelector('#summary [aria-sort]') !== null")
    finally:
        page.call("Page.removeScriptToEvaluateOnNewDocument", **script)


def test_paper_is_light_and_has_every_figure_without_switches(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        hidden = "document.querySelectorAll('.switches:not(.legend), nav')"
        assert page.run(f"[...{hidden}].every((it) => it.offsetHeight === 0)")
        assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
    assert len(page.call("Page.printToPDF")["data"]) > 100_000
    plots = "document.querySelectorAll('.plot')"
    assert page.run(f"[...{plots}].every((plot) => plot.querySelector('.main-svg'))")
