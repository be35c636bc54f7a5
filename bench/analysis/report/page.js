"use strict";
// Draws the charts, and makes switches, legends and tables work. Without it the page can be read.
(function () {
  const root = document.documentElement;
  root.classList.add("js");
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const plots = [...document.querySelectorAll(".plot")];
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const PAPER = { single: 660, many: 210, wide: 320 }; // widths in CSS pixels on a printed page
  const TALLEST = 380;
  let printing = false;

  function ink(name) {
    return getComputedStyle(root).getPropertyValue(name).trim();
  }

  // Black signs would vanish on a dark page, and dark blue ones nearly.
  function seen(colour) {
    return { "#000000": ink("--ink"), "#0072B2": ink("--blue") }[colour] || colour;
  }

  function themed(layout) {
    const axis = { gridcolor: ink("--rule"), linecolor: ink("--soft"), zeroline: false };
    return {
      margin: { l: 56, r: 12, t: 8, b: 44 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: ink("--ink") },
      showlegend: false,
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
      if (copy[part]) copy[part] = { ...copy[part], color: seen(copy[part].color) };
    }
    if (copy.meta.kind === "mean") {
      copy.marker.line = { width: 1, color: ink("--page") };
    }
    return copy;
  }

  // What the switches beside a chart say: values by key, and kinds that are off.
  function wanted(name) {
    const box = document.querySelector(`[data-chart-switches="${name}"]`);
    const wish = { values: {}, seeds: null, off: new Set() };
    if (!box) return wish;
    for (const select of box.querySelectorAll("select")) {
      if (select.dataset.key === "seeds") wish.seeds = select.value.split(" ");
      else wish.values[select.dataset.key] = select.value;
    }
    for (const input of box.querySelectorAll("input[data-kind]")) {
      if (!input.checked) wish.off.add(input.dataset.kind);
    }
    return wish;
  }

  function hiddenMethods(plot) {
    const legend = plot.closest("section").querySelectorAll(".legend input");
    return new Set([...legend].filter((input) => !input.checked).map((input) => input.value));
  }

  function shown(meta, wish, without) {
    if (without.has(meta.method)) return false;
    for (const [key, value] of Object.entries(wish.values)) {
      if (key in meta && meta[key] !== value) return false;
    }
    const ours = ["mean", "seed", "betas", "front"].includes(meta.kind);
    if (ours && wish.seeds && !wish.seeds.includes(meta.kind)) return false;
    return !wish.off.has(meta.kind) && !(meta.far && wish.off.has("far"));
  }

  function state(plot) {
    const name = plot.dataset.chart;
    const wish = wanted(name);
    const without = hiddenMethods(plot);
    const layout = { ...charts[name].layout };
    const select = document.querySelector(`[data-chart-switches="${name}"] [data-key="attack"]`);
    if (select) {
      const title = `${select.selectedOptions[0].textContent} accuracy, %`;
      layout.yaxis = { ...layout.yaxis, title: { text: title } };
    }
    const data = charts[name].data.map((trace) => ({
      ...coloured(trace), visible: shown(trace.meta, wish, without),
    }));
    return { data, layout: themed(layout) };
  }

  function draw(plot) {
    const { data, layout } = state(plot);
    if (printing) {
      const many = plot.closest(".many");
      layout.width = !many ? PAPER.single : many.classList.contains("wide") ? PAPER.wide : PAPER.many;
      layout.height = Math.min(layout.height, TALLEST);
    }
    const tools = plot.dataset.chart === "frontier" && matchMedia("(pointer: fine)").matches;
    if (tools) layout.dragmode = "zoom";
    return Plotly.react(plot, data, layout, {
      displaylogo: false,
      displayModeBar: tools && !printing ? "hover" : false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]],
      responsive: true,
    });
  }

  function redraw() {
    for (const sign of document.querySelectorAll(".sign")) {
      sign.style.color = seen(sign.dataset.colour);
    }
    plots.forEach(draw);
  }

  // Arrow keys walk over the points that are shown, from left to right.
  function walk(plot) {
    const live = document.querySelector(`[data-live="${plot.dataset.chart}"]`);
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

  function order(cell) {
    const text = cell.dataset.order || cell.textContent.trim();
    const number = Number(text);
    return text !== "" && !Number.isNaN(number) ? number : text;
  }

  function absent(cell) {
    return cell.dataset.order === "" && cell.firstElementChild.textContent.trim() === "–";
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

  function filterable(box) {
    const table = document.getElementById(box.dataset.filters);
    const selects = [...box.querySelectorAll("select")];
    function apply() {
      let count = 0;
      for (const row of table.tBodies[0].rows) {
        row.hidden = selects.some(
          (select) => select.value && row.getAttribute(`data-${select.dataset.key}`) !== select.value);
        count += !row.hidden;
      }
      box.querySelector("output").textContent = `${count} of ${table.tBodies[0].rows.length} rows`;
    }
    box.addEventListener("change", apply);
    apply();
  }

  document.querySelectorAll("table").forEach(sortable);
  document.querySelectorAll("[data-filters]").forEach(filterable);
  redraw();
  plots.filter((plot) => document.querySelector(`[data-live="${plot.dataset.chart}"]`)).forEach(walk);
  document.querySelectorAll("[data-chart-switches], .legend").forEach((box) =>
    box.addEventListener("change", () =>
      box.closest("section").querySelectorAll(".plot").forEach(draw)));
  dark.addEventListener("change", redraw);
  addEventListener("beforeprint", () => { printing = true; redraw(); });
  addEventListener("afterprint", () => { printing = false; redraw(); });
})();
