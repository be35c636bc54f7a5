"use strict";
// Unpacks the charts and plotly and draws a chart when it comes into view; makes switches, legends
// and tables work. Without it the page can be read.
(function () {
  const root = document.documentElement;
  let charts = {};
  const plots = [...document.querySelectorAll(".plot")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PAPER = { one: 660, two: 320 }; // widths in CSS pixels on a printed page
  const TALLEST = 380;
  let printing = false;

  function ink(name) {
    return getComputedStyle(root).getPropertyValue(name).trim();
  }

  // Black signs would vanish on a dark page, and other dark ones nearly.
  function seen(colour) {
    const lighter = { "#000000": "--ink", "#0072B2": "--blue", "#882255": "--wine" }[colour];
    return lighter ? ink(lighter) : colour;
  }

  function themed(layout) {
    const axis = { gridcolor: ink("--rule"), linecolor: ink("--soft"), zeroline: false };
    return {
      margin: { l: 56, r: 12, t: 8, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink("--ink") },
      hoverlabel: { bgcolor: ink("--tint"), bordercolor: ink("--soft"), font: { color: ink("--ink") }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: ink("--soft"), activecolor: ink("--ink") },
      dragmode: false,
      ...layout,
      xaxis: { ...axis, ...layout.xaxis },
      yaxis: { ...axis, ...layout.yaxis },
    };
  }

  function coloured(trace) {
    const copy = { ...trace };
    for (const part of ["marker", "line"]) {
      if (copy[part] && copy[part].color) copy[part] = { ...copy[part], color: seen(copy[part].color) };
    }
    if (copy.meta && copy.meta.kind === "mean") {
      copy.marker.line = { width: 1, color: ink("--page") };
    }
    return copy;
  }

  // What the switches of the frontier say: attack, checkpoint, and which kinds of traces are shown.
  const box = document.querySelector("[data-chart-switches]");
  const main = document.querySelector('[data-chart^="frontier/"]');

  function select(key) {
    return box.querySelector(`select[data-key="${key}"]`).value;
  }

  function chartOf(plot) {
    if (plot !== main) return charts[plot.dataset.chart];
    return charts[`frontier/${select("attack")}/${select("checkpoint")}`];
  }

  function hiddenMethods(plot) {
    const legend = plot.closest("section").querySelectorAll(".legend input");
    return new Set([...legend].filter((input) => !input.checked).map((input) => input.value));
  }

  function shown(trace, hidden) {
    if (hidden.has(trace.legendgroup)) return false;
    if (!trace.meta || !trace.meta.kind) return true;
    const off = [...box.querySelectorAll("input[data-kind]")].filter((input) => !input.checked);
    if (off.some((input) => input.dataset.kind === (trace.meta.far ? "far" : trace.meta.kind))) {
      return false;
    }
    const ours = ["mean", "seed", "betas", "hull"].includes(trace.meta.kind);
    return !ours || select("seeds").split(" ").includes(trace.meta.kind);
  }

  function state(plot) {
    const chart = chartOf(plot);
    const hidden = hiddenMethods(plot);
    const data = chart.data.map((trace) => ({ ...coloured(trace), visible: shown(trace, hidden) }));
    const layout = themed({ ...chart.layout });
    // The methods have switches of the page's own.
    if (data.some((trace) => trace.legendgroup)) layout.showlegend = false;
    return { data, layout };
  }

  function draw(plot) {
    const { data, layout } = state(plot);
    if (printing) {
      layout.width = plot.closest(".many") ? PAPER.two : PAPER.one;
      layout.height = Math.min(layout.height, TALLEST);
    }
    const tools = plot === main && matchMedia("(pointer: fine)").matches;
    if (tools) layout.dragmode = "zoom";
    return Plotly.react(plot, data, layout, {
      displaylogo: false,
      displayModeBar: tools && !printing ? "hover" : false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      responsive: true,
    });
  }

  const drawn = new Set();

  function colourSigns() {
    for (const sign of document.querySelectorAll(".sign")) {
      sign.style.color = seen(sign.dataset.colour);
    }
  }

  function redraw() {
    colourSigns();
    if (window.Plotly) (printing ? plots : plots.filter((plot) => drawn.has(plot))).forEach(draw);
  }

  // What the element `id` holds as base64 of gzip.
  async function unpacked(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
    const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(plain).text();
  }

  async function startCharts() {
    const [data, library] = await Promise.all([unpacked("charts"), unpacked("plotly")]);
    charts = JSON.parse(data);
    const script = document.createElement("script");
    script.textContent = library;
    document.head.append(script);
    walk(main);
    const watch = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting || drawn.has(target)) continue;
        drawn.add(target);
        draw(target);
      }
    }, { rootMargin: "600px" });
    plots.forEach((plot) => watch.observe(plot));
    document.querySelectorAll("[data-chart-switches], .legend").forEach((box) =>
      box.addEventListener("change", () =>
        box.closest("section").querySelectorAll(".plot").forEach((plot) => drawn.has(plot) && draw(plot))));
  }

  // Arrow keys walk over the points that are shown, from left to right.
  function walk(plot) {
    const live = document.querySelector("[data-live]");
    let at = -1;
    plot.tabIndex = 0;
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const points = plot.data.flatMap((trace, curveNumber) =>
        trace.visible && trace.text
          ? trace.x.map((x, pointNumber) => ({ x, curveNumber, pointNumber }))
          : []);
      if (!points.length) return;
      points.sort((one, other) => one.x - other.x);
      at = (at + step + points.length) % points.length;
      const { curveNumber, pointNumber } = points[at];
      Plotly.Fx.hover(plot, [{ curveNumber, pointNumber }]);
      const told = plot.data[curveNumber].text[pointNumber].replace(/(<br>)+/g, "; ");
      live.textContent = new DOMParser().parseFromString(told, "text/html").body.textContent;
    });
    plot.addEventListener("blur", () => Plotly.Fx.unhover(plot));
  }

  // What a cell is sorted by: the number that it begins with, or else its text.
  function order(cell) {
    const text = cell.textContent.trim();
    const number = parseFloat(text.replace("−", "-").replace(/^\[/, ""));
    return Number.isNaN(number) ? text : number;
  }

  function absent(cell) {
    return cell.classList.contains("absent");
  }

  function compare(one, other) {
    if (typeof one === "number" && typeof other === "number") return one - other;
    return String(one).localeCompare(String(other), "en", { numeric: true });
  }

  function sortable(table) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((each) => each.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const body = table.tBodies[0];
        const rows = [...body.rows].sort((one, other) => {
          const [a, b] = [one.cells[column], other.cells[column]];
          // What was not measured stays at the end.
          if (absent(a) || absent(b)) return absent(a) - absent(b);
          return compare(order(a), order(b)) * (down ? -1 : 1);
        });
        body.append(...rows);
      });
    });
  }

  // A choice among the values of each column that has one, before its rows are sorted.
  function filterable(box) {
    const table = document.getElementById(box.dataset.filters);
    const rows = [...table.tBodies[0].rows];
    const output = box.querySelector("output");
    const selects = [...table.tHead.rows[0].cells].flatMap((head, column) => {
      if (head.dataset.chosen === undefined) return [];
      const values = [...new Set(rows.map((row) => row.cells[column].textContent))];
      const select = document.createElement("select");
      select.dataset.key = head.textContent;
      select.append(new Option("all", ""), ...values.filter(Boolean).map((text) => new Option(text)));
      if (values.includes(head.dataset.chosen)) select.value = head.dataset.chosen;
      const label = document.createElement("label");
      label.append(`${head.textContent} `, select);
      output.before(label);
      return [[select, column]];
    });
    function apply() {
      for (const row of rows) {
        row.hidden = selects.some(
          ([select, column]) => select.value && row.cells[column].textContent !== select.value);
      }
      output.textContent = `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows`;
    }
    box.addEventListener("change", apply);
    apply();
  }

  document.querySelectorAll("[data-filters]").forEach(filterable);
  document.querySelectorAll("table").forEach(sortable);
  colourSigns();
  if (root.classList.contains("charts")) {
    startCharts().catch((error) => {
      root.classList.remove("charts");
      throw error;
    });
  }
  dark.addEventListener("change", redraw);
  addEventListener("beforeprint", () => { printing = true; redraw(); });
  addEventListener("afterprint", () => { printing = false; redraw(); });
})();
