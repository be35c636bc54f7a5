"""report.html in a real browser: quiet, without a network, and everything on it works."""

from __future__ import annotations

from pathlib import Path

import browser
import paged
import pytest
from browser import Browser

pytestmark = pytest.mark.skipif(
    browser.PROGRAM is None, reason="no Chromium here: install Debian's package chromium"
)
TOLD = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
# Where a point of a chart is in the window, in CSS pixels.
PLACE = """(() => {
  const plot = document.querySelector('[data-chart="frontier"]');
  plot.scrollIntoView({block: "center"});
  const trace = plot._fullData.findIndex((t) => t.visible === true && t.meta.kind === "seed"
    && t.meta.method === "%s");
  const {xaxis, yaxis} = plot._fullLayout, box = plot.getBoundingClientRect();
  const [x, y] = [plot.data[trace].x[%d], plot.data[trace].y[%d]];
  return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
})()"""
HOVER = "document.querySelector('.hoverlayer')?.textContent || ''"
SHOWN = """document.querySelector('[data-chart="frontier"]').data.filter((t) => t.visible).map(
  (t) => [t.meta.kind, t.meta.method || "", t.meta.attack, t.meta.checkpoint].join(" ")).join()"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return paged.experiment(tmp_path_factory.mktemp("results") / "paper", dataset="cifar10")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture
def page(folder, chromium) -> Browser:
    path = folder / "report.html"
    chromium.open(path if path.is_file() else paged.page(folder))
    chromium.wait("document.querySelectorAll('.plot .main-svg').length > 0")
    return chromium


def choose(page: Browser, selector: str, value: str | bool) -> None:
    """Choose an option, or set or clear a checkbox, as a user does."""
    what = "checked" if isinstance(value, bool) else "value"
    told = str(value).lower() if isinstance(value, bool) else f"'{value}'"
    page.run(
        f"(() => {{ const it = document.querySelector(`{selector}`); it.{what} = {told};"
        " it.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def column(page: Browser, table: str, place: int) -> list[str]:
    return page.run(
        f"[...document.querySelectorAll('#{table} tbody tr')].filter((row) => !row.hidden)"
        f".map((row) => row.cells[{place}].firstElementChild.textContent)"
    )


def head(page: Browser, table: str, name: str) -> int:
    names = page.run(
        f"[...document.querySelectorAll('#{table} thead th')].map((th) => th.textContent)"
    )
    return names.index(name)


def test_it_opens_without_a_word_on_the_console_and_without_a_request(page):
    page.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    said = [event for event in page.events if event.get("method") in TOLD]
    assert said == []
    asked = [
        event["params"]["request"]["url"]
        for event in page.events
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
    assert len([url for url in asked if url.startswith("file:")]) == 1
    drawn = page.run(
        "[...document.querySelectorAll('.plot')].every((plot) => plot.querySelector('.main-svg'))"
    )
    assert drawn


@pytest.mark.parametrize(("method", "seed"), [("memloss_v1", 0), ("trades", 1)])
def test_hovering_a_point_shows_the_numbers_of_the_summary(page, folder, method, seed):
    page.point(*page.run(PLACE % (method, seed, seed)))
    page.wait(f"({HOVER}).includes('seed {seed}')")
    shown = page.run(HOVER)
    found = {
        row["attack"]: row
        for row in paged.rows(folder / "summary.csv")
        if (row["method"], row["seed"], row["checkpoint"]) == (method, str(seed), "best")
    }
    for attack in ("clean", "autoattack"):
        row = found[attack]
        assert f"{row['accuracy']} % [{row['ci_low']}, {row['ci_high']}]" in shown


@pytest.mark.parametrize(
    ("switch", "value", "gone", "come"),
    [
        ('[data-key="attack"]', "pgd20", "mean trades autoattack best", "mean trades pgd20 best"),
        (
            '[data-key="checkpoint"]',
            "last",
            "mean trades autoattack best",
            None,  # AutoAttack judged no last checkpoint here
        ),
        ('[data-key="seeds"]', "mean betas front", "seed trades autoattack best", None),
        ('[data-key="seeds"]', "seed", "mean trades autoattack best", None),
        ('[data-kind="paper"]', False, "paper  autoattack best", None),
        ('[data-kind="card"]', True, None, "card  autoattack best"),
        ('[data-kind="far"]', True, None, "mean standard autoattack best"),
        ('#frontier-section .legend [value="mart"]', False, "mean mart autoattack best", None),
    ],
)
def test_every_switch_changes_the_plot(page, switch, value, gone, come):
    before = page.run(SHOWN)
    choose(page, switch, value)
    page.wait(f"{SHOWN} !== {before!r}")
    after = page.run(SHOWN).split(",")
    for name, had, has in ((gone, True, False), (come, False, True)):
        if name:
            assert (name in before.split(",")) is had
            assert (name in after) is has


def test_the_title_of_the_axis_follows_the_attack(page):
    choose(page, '[data-key="attack"]', "pgd20")
    page.wait(
        """document.querySelector('[data-chart="frontier"] .ytitle').textContent
        === "PGD-20 accuracy, %" """
    )


def test_arrow_keys_go_from_point_to_point_and_say_what_is_there(page):
    live = """document.querySelector('[data-live="frontier"]').textContent"""
    page.run("""document.querySelector('[data-chart="frontier"]').focus()""")
    page.press("ArrowRight")
    page.wait(f"{live} !== ''")
    first = page.run(live)
    assert "Clean" in first
    assert "%" in first
    page.press("ArrowRight")
    page.wait(f"{live} !== {first!r}")


@pytest.mark.parametrize(
    ("table", "name"), [("summary", "Accuracy, %"), ("costs", "Judging, s"), ("claims", "Claim")]
)
def test_sorting_sorts_both_ways_and_says_so(page, table, name):
    place = head(page, table, name)
    button = f"#{table} thead th:nth-child({place + 1}) button"
    for direction in ("ascending", "descending"):
        page.run(f"document.querySelector('{button}').click()")
        shown = column(page, table, place)
        values = [text[0] if table == "claims" else float(text) for text in shown]
        assert values == sorted(values, reverse=direction == "descending")
        sort = f"document.querySelector('#{table} [aria-sort]').getAttribute('aria-sort')"
        assert page.run(sort) == direction
        assert page.run(f"document.querySelectorAll('#{table} [aria-sort]').length") == 1


def test_a_filter_leaves_the_rows_that_it_names(page, folder):
    verdicts = [row["verdict"] for row in paged.rows(folder / "claims.csv")]
    for verdict in set(verdicts):
        choose(page, '[data-filters="claims"] select', verdict)
        shown = column(page, "claims", head(page, "claims", "Verdict"))
        assert len(shown) == verdicts.count(verdict)
        assert all(text.endswith(verdict) for text in shown)
    choose(page, '[data-filters="claims"] select', "")
    assert len(column(page, "claims", 0)) == len(verdicts)


def test_every_control_can_be_reached_with_the_keyboard_and_has_a_name(page):
    nameless = page.run(
        "[...document.querySelectorAll('main select, main input, main button')].filter((it) =>"
        " it.tabIndex < 0 || !(it.labels?.[0] || it).textContent.trim()).length"
    )
    assert nameless == 0


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_window_does_not_scroll_sideways(page, folder, width):
    page.open(folder / "report.html", width)
    page.wait("document.querySelectorAll('.plot .main-svg').length > 0")
    page.run("document.querySelectorAll('details').forEach((it) => { it.open = true; })")
    assert page.run("document.documentElement.scrollWidth") <= width


def test_without_javascript_text_tables_and_claims_are_there_and_no_empty_figure(page, folder):
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        page.open(folder / "report.html")
        assert page.run("document.documentElement.className") == ""
        text = page.run("document.body.innerText")
        assert paged.rows(folder / "claims.csv")[0]["text"] in text
        assert "The figures need JavaScript" in text
        assert page.run("document.querySelector('figure').offsetHeight") == 0
    finally:
        page.call("Emulation.setScriptExecutionDisabled", value=False)


def test_paper_is_light_and_has_figures_without_switches(page):
    page.call("Emulation.setEmulatedMedia", media="print")
    try:
        shown = page.run(
            "[...document.querySelectorAll('.switches:not(.legend), nav')].filter((it) =>"
            " it.offsetHeight > 0).length"
        )
        assert shown == 0
        assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
    assert len(page.call("Page.printToPDF")["data"]) > 100_000
