"use strict";
// Names come from files: they reach the page as text only, never as markup.
const data = JSON.parse(document.getElementById("data").textContent);
const at = id => document.getElementById(id);
const SEEN = "#d1480f", HIDDEN = "#ccd3dc", WRONG = "#c0273a", RIGHT = "#b9c2cd";
const state = { shape: null, view: null, coloring: "height", eye: null };

function make(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
// What plotly shows is a kind of HTML.
const plain = text => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
const percent = (value, digits = 1) => `${value.toFixed(digits)} %`;
const counted = number => `${number} shape${number === 1 ? "" : "s"}`;
const className = label => data.classes[label] ?? `class ${label}`;

function decode(text, type) {
  const bytes = Uint8Array.from(atob(text), character => character.charCodeAt(0));
  return new type(bytes.buffer);
}

// ---- Results

function cell(spread) {
  const node = make("td", `${percent(spread[0])} `, { class: "number" });
  // without width: a single shape, or all of them alike
  node.append(make("small", spread[2] > spread[1] ? `${spread[1].toFixed(1)} to ${spread[2].toFixed(1)}` : "no interval"));
  return node;
}

function bar(share) {
  const outer = make("span", undefined, { class: "bar", "aria-hidden": "true" }), inner = make("span");
  inner.style.width = `${Math.max(0, Math.min(100, 100 * share))}%`;
  outer.append(inner);
  return outer;
}

function table(node, columns, rows) {
  const head = make("tr");
  columns.forEach((name, place) => head.append(make("th", name, { scope: "col", ...(place ? { class: "number" } : {}) })));
  node.append(make("thead"), make("tbody"));
  node.tHead.append(head);
  for (const cells of rows) {
    const row = make("tr");
    row.append(...cells);
    node.tBodies[0].append(row);
  }
}

function results() {
  at("title").textContent = data.title;
  at("subtitle").textContent = `${counted(data.total)} of split ${data.split}, prepared set ${data.set}` +
    (data.shapes.length < data.total ? `; ${data.shapes.length} of them shown` : "");
  if (!data.figures.length) return void (at("results").hidden = true);
  const names = [...new Set(data.figures.flatMap(run => Object.keys(run.values)))];
  const rows = [];
  for (const run of data.figures) {
    const blank = () => make("td", "");
    rows.push([make("td", run.name), make("td", run.shapes, { class: "number" }),
      ...names.map(name => run.values[name] ? cell(run.values[name]) : blank())]);
    if (run.teacher) rows.push([make("td", "· its teacher"), blank(),
      ...names.map(name => run.teacher[name] === undefined ? blank() : make("td", percent(run.teacher[name]), { class: "number" }))]);
  }
  table(at("figures"), ["run", "shapes", ...names], rows);
  at("intervals").textContent = "Beside each figure its 95 % interval over the luck of the test shapes; that of the training is not in it." +
    ([...data.by_class.map(row => row.value), ...data.figures.flatMap(run => Object.values(run.values))].some(([, low, high]) => high <= low) ? " Of too few shapes, or of shapes that are all alike, there is none." : "");
}

function classes() {
  const tested = data.task !== "data";
  const rows = data.by_class.map(row => {
    const cells = [make("td", className(row.label)), make("td", row.shapes, { class: "number" })];
    if (tested) {
      cells.push(cell(row.value));
      cells[2].append(bar(row.value[0] / 100));
    }
    if (data.confusion) cells.push(make("td", takenFor(row.label)));
    return cells;
  });
  const measure = data.task === "segmentation" ? "mIoU" : "accuracy";
  table(at("by-class"), ["class", "shapes", ...(tested ? [measure] : []), ...(data.confusion ? ["most often taken for"] : [])], rows);
}

function takenFor(label) {
  const counts = data.confusion[label].map((count, other) => other === label ? 0 : count);
  const most = counts.indexOf(Math.max(...counts));
  return counts[most] ? `${className(most)} (${counts[most]})` : "";
}

// ---- Charts

const LAYOUT = {
  font: { family: "system-ui, sans-serif", size: 12, color: "#1c2430" },
  paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 52, r: 12, t: 8, b: 42 },
  showlegend: false, hovermode: "x unified",
};
const CONFIG = { displayModeBar: false, responsive: true };
const LINES = ["#1f5fa8", "#d1480f", "#1b7340", "#7b4bb3", "#a07400", "#0c8494"];

// A list of colours and what they stand for.
function explain(node, entries) {
  node.replaceChildren(...entries.map(([color, name]) => {
    const item = make("li"), dot = make("i", undefined, { "aria-hidden": "true" });
    dot.style.background = color;
    item.append(dot, name);
    return item;
  }));
}

// One value makes no curve.
const drawnCurves = data.curves.filter(curve => curve.x.length > 1);

function charts() {
  for (const [id, kind, title] of [["losses", "loss", "loss"], ["measures", "figure", "percent"]]) {
    const lines = drawnCurves.filter(curve => curve.kind === kind);
    if (!lines.length) { at(id).parentNode.hidden = true; continue; }
    explain(at(id).previousElementSibling, lines.map((curve, place) => [LINES[place % LINES.length], curve.name.replace(/_/g, " ")]));
    const traces = lines.map((curve, place) => ({
      x: curve.x, y: curve.y, name: plain(curve.name.replace(/_/g, " ")), mode: "lines",
      line: { color: LINES[place % LINES.length], width: 2, dash: curve.name.startsWith("teacher") ? "dot" : "solid" },
    }));
    at(id).setAttribute("role", "img");
    at(id).setAttribute("aria-label", `Learning curves by epoch: ${lines.map(curve => `${curve.name} ends at ${curve.y.at(-1).toFixed(3)}`).join(", ")}`);
    Plotly.newPlot(id, traces, { ...LAYOUT, xaxis: { title: { text: "epoch" }, gridcolor: "#eef1f4" }, yaxis: { title: { text: title }, gridcolor: "#eef1f4", rangemode: "tozero" } }, CONFIG);
  }
}

function matrix() {
  // classes of which the split has no shape and that nothing is taken for would be empty lines
  const used = data.classes.map((_, label) => label).filter(label =>
    data.confusion[label].some(Boolean) || data.confusion.some(row => row[label]));
  const total = label => data.confusion[label].reduce((sum, count) => sum + count, 0);
  const value = (row, column) => {
    const share = data.confusion[row][column] / Math.max(total(row), 1);
    return row === column ? share : -Math.sqrt(share);
  };
  const names = used.map(label => plain(className(label)));
  const size = Math.max(18, Math.min(40, 560 / used.length));
  const longest = Math.max(...used.map(label => className(label).length));
  const margin = Math.min(180, 16 + 6.4 * longest), side = Math.round(used.length * size + margin + 20);
  at("matrix").style.width = at("matrix").style.height = `${side}px`;
  at("matrix").setAttribute("role", "img");
  at("matrix").setAttribute("aria-label", "Confusion matrix; the table of classes below says the same");
  Plotly.newPlot("matrix", [{
    type: "heatmap", z: used.map(row => used.map(column => value(row, column))), zmin: -1, zmax: 1, showscale: false, xgap: 1, ygap: 1,
    text: used.map(row => used.map(column => data.confusion[row][column] || "")), texttemplate: "%{text}", textfont: { size: Math.min(12, size * .55) },
    colorscale: [[0, "#b3261e"], [.25, "#f2a07b"], [.5, "#ffffff"], [1, "#2c6fad"]],
    customdata: used.map(row => used.map(column => `true ${names[used.indexOf(row)]}, predicted ${names[used.indexOf(column)]}: ${data.confusion[row][column]} of ${total(row)}`)),
    hovertemplate: "%{customdata}<extra></extra>",
  }], {
    ...LAYOUT, hovermode: "closest", width: side, height: side, margin: { l: margin, t: margin, r: 16, b: 8 },
    xaxis: { tickvals: used.map((_, i) => i), ticktext: names, side: "top", tickangle: -90, tickfont: { size: Math.min(12, size * .6) }, fixedrange: true, showgrid: false },
    yaxis: { tickvals: used.map((_, i) => i), ticktext: names, autorange: "reversed", tickfont: { size: Math.min(12, size * .6) }, fixedrange: true, showgrid: false },
  }, { displayModeBar: false });
  at("matrix").on("plotly_click", event => {
    const { x, y } = event.points[0];
    at("class").value = used[y];
    at("taken").value = used[x];
    at("result").value = "all";
    list();
    at("shapes").scrollIntoView({ behavior: "smooth" });
  });
}

// ---- The list of shapes

const isRight = shape => data.task === "segmentation" ? shape.iou >= .8 : shape.predicted === shape.label;

function filters() {
  const choices = (node, labels) => {
    node.append(make("option", "all", { value: "" }));
    labels.forEach(label => node.append(make("option", className(label), { value: label })));
  };
  const sorted = labels => [...new Set(labels)].sort((a, b) => a - b);
  choices(at("class"), sorted(data.shapes.map(shape => shape.label)));
  choices(at("taken"), sorted(data.shapes.filter(shape => shape.predicted !== undefined).map(shape => shape.predicted)));
  document.querySelectorAll(".tested").forEach(node => node.hidden = data.task === "data");
  document.querySelectorAll(".classified").forEach(node => node.hidden = data.task !== "classification");
  if (data.task === "segmentation") {
    at("result").options[1].textContent = "IoU below 80 %";
    at("result").options[2].textContent = "IoU 80 % or more";
  }
  at("filters").addEventListener("input", list);
  at("filters").addEventListener("submit", event => event.preventDefault());
  at("list").addEventListener("keydown", event => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key], item = event.target.closest("li");
    if (!step || !item) return;
    event.preventDefault();
    const next = step > 0 ? item.nextElementSibling : item.previousElementSibling;
    if (next) { next.firstChild.focus(); next.firstChild.click(); }
  });
}

function ordered(shapes) {
  if (data.task === "data") return shapes;
  const rising = [...shapes].sort((a, b) => a.score - b.score), order = at("order").value;
  if (order === "best") return rising.reverse();
  if (order === "worst") return rising;
  const middle = (rising.length - 1) / 2;
  return rising.map((shape, place) => [Math.abs(place - middle), shape]).sort((a, b) => a[0] - b[0]).map(pair => pair[1]);
}

// A picture is decoded when its line comes into sight.
const sight = new IntersectionObserver(entries => entries.forEach(entry => {
  if (!entry.isIntersecting) return;
  tile(entry.target, data.shapes[entry.target.dataset.shape], 0);
  sight.unobserve(entry.target);
}));

function tile(node, shape, place) {
  const lines = Math.ceil(data.views.length / data.columns), column = place % data.columns, line = Math.floor(place / data.columns);
  const share = (index, count) => count > 1 ? 100 * index / (count - 1) : 0;
  node.style.backgroundImage = `url(data:image/webp;base64,${shape.sheet})`;
  node.style.backgroundSize = `${100 * data.columns}% ${100 * lines}%`;
  node.style.backgroundPosition = `${share(column, data.columns)}% ${share(line, lines)}%`;
}

function verdict(shape) {
  if (data.task === "segmentation") return `IoU ${percent(100 * shape.iou)}`;
  const sure = shape.top ? ` ${percent(100 * (shape.top.find(([label]) => label === shape.predicted)?.[1] ?? 0), 0)}` : "";
  return isRight(shape) ? `✓ right${sure}` : `✗ taken for ${className(shape.predicted)}${sure}`;
}

function list() {
  const label = at("class").value, taken = at("taken").value, result = at("result").value, name = at("name").value.toLowerCase();
  const found = ordered(data.shapes.filter(shape =>
    (label === "" || shape.label === +label) && (taken === "" || shape.predicted === +taken) &&
    (result === "all" || isRight(shape) === (result === "right")) && shape.name.toLowerCase().includes(name)));
  sight.disconnect();
  at("list").replaceChildren(...found.map(shape => {
    const item = make("li"), button = make("button", undefined, { type: "button" }), text = make("span");
    const thumb = make("span", undefined, { class: "thumb", "aria-hidden": "true", "data-shape": data.shapes.indexOf(shape) });
    text.append(make("strong", shape.name.split("/").at(-1)), make("small", className(shape.label)));
    if (data.task !== "data") text.append(make("small", verdict(shape), { class: isRight(shape) ? "right" : "wrong" }));
    if (shape.sheet) sight.observe(thumb);
    button.append(thumb, text);
    button.addEventListener("click", () => show(shape, button));
    item.append(button);
    return item;
  }));
  at("count").textContent = `${found.length} of ${counted(data.shapes.length)}`;
  const first = at("list").querySelector("button");
  if (first) first.click();
}

// ---- One shape: its points and its views

function show(shape, button) {
  at("list").querySelectorAll("[aria-current]").forEach(node => node.removeAttribute("aria-current"));
  button.setAttribute("aria-current", "true");
  const points = decode(shape.points, Uint16Array), axis = offset => {
    const values = [];
    for (let i = offset; i < points.length; i += 3) values.push(points[i] / 32767.5 - 1);
    return values;
  };
  state.shape = {
    ...shape, x: axis(0), y: axis(1), z: axis(2),
    masks: shape.seen && decode(shape.seen, Uint32Array),
    truth: shape.parts && decode(shape.parts, Uint16Array),
    found: shape.predicted_parts && decode(shape.predicted_parts, Uint16Array),
  };
  at("shape-title").textContent = shape.name;
  const truth = `true class ${className(shape.label)}`;
  at("verdict").textContent = data.task === "data" ? className(shape.label) : `${data.task === "segmentation" ? className(shape.label) : truth} · ${verdict(shape)}`;
  at("verdict").className = data.task === "data" ? "" : isRight(shape) ? "right" : "wrong";
  views();
  probabilities(shape);
  colorings();
  draw();
}

function probabilities(shape) {
  const box = at("probabilities");
  box.replaceChildren();
  if (!shape.top) return;
  box.append(make("h3", "Probabilities"));
  const rows = shape.top.some(([label]) => label === shape.label) ? shape.top : [...shape.top, [shape.label, shape.of_truth]];
  for (const [label, value] of rows) {
    const row = make("div"), isTruth = label === shape.label;
    row.append(make("span", className(label) + (isTruth ? " ✓ true" : ""), isTruth ? { class: "right" } : {}), bar(value), make("span", percent(100 * value)));
    box.append(row);
  }
}

function views() {
  const { masks } = state.shape, box = at("views"), had = box.children.length;
  if (!data.views.length) return void (at("views").closest(".aside").querySelector("h3").hidden = true);
  at("views-help").textContent = masks ? "Choose a view: the points that it sees light up. Choose it again to see all." : "Choose a view to look from there.";
  data.views.forEach((view, place) => {
    const button = had ? box.children[place] : make("button", undefined, { type: "button" });
    const seen = masks ? masks.reduce((sum, mask) => sum + (mask >>> place & 1), 0) : null;
    if (!had) {
      button.append(make("span"), make("b"));
      button.addEventListener("click", () => look(state.view === place ? null : place));
      box.append(button);
    }
    button.lastChild.textContent = `${view.number}`;
    button.setAttribute("aria-label", `View ${view.number}, azimuth ${view.azimuth}°, elevation ${view.elevation}°` + (masks ? `, sees ${seen} of ${masks.length} points` : ""));
    button.title = button.getAttribute("aria-label");
    button.setAttribute("aria-pressed", state.view === place);
    if (state.shape.sheet) tile(button.firstChild, state.shape, place);
    else button.firstChild.hidden = true;
  });
}

function look(place) {
  state.view = place;
  if (place !== null) state.eye = data.views[place].from.map(value => 1.4 * value);
  views();
  draw();
}

function colorings() {
  const { truth, found } = state.shape, box = at("coloring");
  const names = found ? { found: "predicted parts", truth: "true parts", wrong: "wrong points" } : truth ? { truth: "parts" } : {};
  if (!(state.coloring in names)) state.coloring = Object.keys(names)[0] ?? "height";
  const many = Object.keys(names).length > 1;
  box.hidden = !many;
  if (!many || box.querySelector("input")) return;
  for (const [value, text] of Object.entries(names)) {
    const label = make("label"), input = make("input", undefined, { type: "radio", name: "coloring", value });
    input.checked = value === state.coloring;
    input.addEventListener("change", () => { state.coloring = value; draw(); });
    label.append(input, text);
    box.append(label);
  }
}

const hex = values => "#" + values.map(value => Math.round(value).toString(16).padStart(2, "0")).join("");
function height(z) { // dark below, light above
  const share = (z + 1) / 2, low = [23, 55, 94], high = [88, 160, 214];
  return hex(low.map((value, i) => value + share * (high[i] - value)));
}
const partColor = part => data.colors[part] ?? "#000000";

function colors() {
  const { z, masks, truth, found } = state.shape;
  const own = i => state.coloring === "found" ? partColor(found[i]) : state.coloring === "truth" ? partColor(truth[i])
    : state.coloring === "wrong" ? (found[i] === truth[i] ? RIGHT : WRONG) : state.view === null || !masks ? height(z[i]) : SEEN;
  return z.map((_, i) => state.view !== null && masks && !(masks[i] >>> state.view & 1) ? HIDDEN : own(i));
}

function legend() {
  const { masks, truth, found } = state.shape, entries = [];
  if (state.coloring === "wrong") entries.push([WRONG, "wrong part"], [RIGHT, "right part"]);
  else if (state.coloring !== "height") {
    const shown = new Set([...(truth ?? []), ...(found ?? [])]);
    [...shown].sort((a, b) => a - b).forEach(part => entries.push([partColor(part), data.parts[part] ?? `part ${part}`]));
  } else if (state.view !== null && masks) entries.push([SEEN, `seen by view ${data.views[state.view].number}`]);
  if (state.view !== null && masks) entries.push([HIDDEN, "hidden from it"]);
  explain(at("legend"), entries);
}

const HOME = [1, -1, .6];
const camera = () => ({ eye: { x: state.eye[0], y: state.eye[1], z: state.eye[2] }, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: 0 } });

function draw() {
  const { x, y, z, name, masks } = state.shape, color = colors();
  const seen = state.view !== null && masks;
  const size = color.map(value => seen && value === HIDDEN ? 2.2 : 3.4);
  state.eye ??= HOME;
  at("cloud").setAttribute("aria-label", `Points of ${name} in 3D, ${x.length} of them` +
    (seen ? `; view ${data.views[state.view].number} sees ${color.filter(value => value !== HIDDEN).length}` : "") + ". Arrow keys turn it.");
  legend();
  const axis = { visible: false, range: [-1, 1] };
  const trace = { type: "scatter3d", mode: "markers", x, y, z, hoverinfo: "skip", marker: { size, color, opacity: 1, line: { width: 0 } } };
  const scene = { xaxis: axis, yaxis: axis, zaxis: axis, aspectmode: "cube", camera: camera(), dragmode: "orbit" };
  if (window.Plotly) return Plotly.react("cloud", [trace], { margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "#f5f7f9", scene, showlegend: false }, CONFIG);
}

function turning() {
  at("cloud").on("plotly_relayout", event => {
    const eye = event["scene.camera"]?.eye;
    if (eye) state.eye = [eye.x, eye.y, eye.z];
  });
  at("cloud").addEventListener("keydown", event => {
    const [round, up] = { ArrowLeft: [-15, 0], ArrowRight: [15, 0], ArrowUp: [0, 15], ArrowDown: [0, -15] }[event.key] ?? [0, 0];
    if (!round && !up) return;
    event.preventDefault();
    const [x, y, z] = state.eye, far = Math.hypot(x, y, z), degrees = Math.PI / 180;
    const azimuth = Math.atan2(y, x) + round * degrees;
    const elevation = Math.max(-1.5, Math.min(1.5, Math.asin(z / far) + up * degrees));
    state.eye = [far * Math.cos(elevation) * Math.cos(azimuth), far * Math.cos(elevation) * Math.sin(azimuth), far * Math.sin(elevation)];
    Plotly.relayout("cloud", { "scene.camera": camera() });
  });
}

// Draws what a section holds when it is about to come into view, or onto paper.
function whenSeen(id, draw) {
  const once = () => { seen.disconnect(); removeEventListener("beforeprint", once); draw(); };
  const seen = new IntersectionObserver(entries => entries.some(entry => entry.isIntersecting) && once(), { rootMargin: "300px" });
  seen.observe(at(id));
  addEventListener("beforeprint", once);
}

results();
classes();
at("curves").hidden = !drawnCurves.length;
at("confusion").hidden = !data.confusion;
filters();
list();
// Plotly takes longer to start than all the rest: the page is on the screen before.
addEventListener("DOMContentLoaded", () => requestAnimationFrame(() => setTimeout(async () => {
  document.head.append(make("script", at("plotly").textContent));
  await draw();
  turning();
  document.body.dataset.ready = "true";
  if (drawnCurves.length) whenSeen("curves", charts);
  if (data.confusion) whenSeen("confusion", matrix);
})));
