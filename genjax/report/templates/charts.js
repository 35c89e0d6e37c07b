// Draws each figure's panels from the data beside it. Without this script its picture stays.
"use strict"
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const dark = matchMedia("(prefers-color-scheme: dark)")
const DASHES = { solid: "", dash: "5 3", dot: "2 2", dashdot: "6 2 2 2", longdash: "9 3", longdashdot: "9 2 2 2" }
const SHAPES = { circle: "M14 2a4 4 0 1 0 .01 0z", square: "M10 2h8v8h-8z", "triangle-up": "M14 1.5l4.5 8h-9z" }

function faded(colour, share) {
  return colour + Math.round(255 * share).toString(16).padStart(2, "0")
}

// Black is the colour of the text; on a dark page the others are lighter.
function shown(colour) {
  if (colour === "#000000") return css("--ink")
  if (!dark.matches) return colour
  const parts = [1, 3, 5].map(i => parseInt(colour.slice(i, i + 2), 16))
  return "#" + parts.map(part => Math.round(0.7 * part + 0.3 * 255).toString(16).padStart(2, "0")).join("")
}

// A number as the axis names it, or as it is; ends of intervals may be none.
function read(axis, value) {
  if (value === null) return "beyond all"
  const i = axis.ticks[0].findIndex(tick => Math.abs(tick - value) <= 1e-4 * Math.abs(tick))
  return i < 0 ? Number(value.toPrecision(4)).toLocaleString("en", { maximumSignificantDigits: 4 }) : axis.ticks[1][i]
}

function traces(chart, panel) {
  const made = []
  for (const one of panel.series) {
    const style = chart.names[one.name] || chart.guides[one.name]
    const colour = shown(style.colour)
    const where = "<br>" + panel.x.label + ": %{customdata[0]}<br>" + panel.y.label + ": %{customdata[1]}"
    const told = (x, y) => x.map((v, i) => v === null || y[i] === null ? [] : [read(panel.x, v), read(panel.y, y[i])])
    const common = { legendgroup: one.name, meta: one.name, hoverlabel: { namelength: -1, align: "left" } }
    const few = Object.keys(one.seeds).length > 0 || one.labels.length > 0
    const size = (few ? 11 : 7) * Math.sqrt(one.area)
    if (one.low.length && !one.points && (chart.bands || one.guide)) {
      made.push({ ...common, part: "band", x: [...one.x, ...[...one.x].reverse()],
        y: [...one.high, ...[...one.low].reverse()], fill: "toself", mode: "lines",
        fillcolor: faded(colour, 0.18), line: { width: 0 }, hoverinfo: "skip" })
    }
    const range = one.low.length ? "<br>from %{customdata[2]} to %{customdata[3]}" : ""
    const marks = one.points ? "markers" : one.x.length < 12 && !one.guide ? "lines+markers" : "lines"
    const mean = { ...common, part: "mean", x: one.x, y: one.y, labels: one.labels,
      customdata: told(one.x, one.y).map((found, i) =>
        one.low.length && found.length ? [...found, read(panel.y, one.low[i]), read(panel.y, one.high[i])] : found),
      mode: one.labels.length ? marks + "+text" : marks, textfont: { size: 11 }, cliponaxis: false,
      line: { color: colour, dash: style.dash, width: one.guide ? 1.3 : 2 },
      marker: { color: colour, size: one.points ? size : 5, opacity: one.points && !few ? 0.7 : 1,
        symbol: (style.symbol || "circle") + (one.open ? "-open" : ""),
        line: { color: one.open ? colour : css("--paper"), width: one.open ? 2 : few && one.points ? 1 : 0 } },
      hovertemplate: "<b>" + one.name + "</b>" + (one.note && ", " + one.note) + where + range + "<extra></extra>" }
    const far = (end, y) => end === null ? 0 : Math.abs(end - y)
    if (one.low.length && one.points)
      mean.error_y = { type: "data", symmetric: false, array: one.y.map((y, i) => far(one.high[i], y)),
        arrayminus: one.y.map((y, i) => far(one.low[i], y)), color: colour, thickness: 1.3, width: 3 }
    made.push(mean)
    const seeds = Object.entries(one.seeds)
    if (!seeds.length) continue
    const x = [], y = [], text = []
    for (const [seed, found] of seeds) {
      const [across, up] = one.points ? found : [one.x, found]
      x.push(...across, null); y.push(...up, null); text.push(...across.map(() => seed), "")
    }
    made.push({ ...common, part: "seeds", x, y, text, customdata: told(x, y),
      mode: one.points ? "markers" : "lines", opacity: 0.5,
      line: { color: colour, width: 1, dash: style.dash }, marker: { color: colour, size: 6, symbol: style.symbol },
      hovertemplate: "<b>" + one.name + "</b>, seed %{text}" + where + "<extra></extra>" })
  }
  return made
}

// Round numbers on a log scale, written out: digits between powers of ten are read as numbers.
function powers(panel, axis) {
  const ends = panel.series.flatMap(one => [...one[axis], ...(axis === "y" ? [...one.low, ...one.high] : [])])
  const found = (panel[axis].range || ends).filter(value => value > 0)
  const [low, high] = [Math.min(...found), Math.max(...found)]
  const decades = Math.log10(high / low)
  const digits = decades < 0.6 ? [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8] : decades < 2.5 ? [1, 2, 5] : [1]
  const tickvals = []
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.log10(high) + 1; power++)
    tickvals.push(...digits.map(digit => Number(`${digit}e${power}`)))
  const text = value => value >= 1e-4 && value < 1e6 ? value.toLocaleString("en", { maximumSignificantDigits: 3 })
    : `10<sup>${Math.log10(value).toFixed(0)}</sup>`
  return { tickvals, ticktext: tickvals.map(text) }
}

// A title in lines that a panel has room for.
function wrapped(text, room) {
  const lines = [""]
  for (const word of text.split(" ")) {
    if (lines.at(-1) && (lines.at(-1) + word).length >= room) lines.push("")
    lines[lines.length - 1] += (lines.at(-1) && " ") + word
  }
  return lines.join("<br>")
}

function layout(chart, panel, width) {
  const height = chart.panels.length > 2 ? 310 : 390
  const axis = (name, room) => {
    const one = panel[name]
    return { title: { text: wrapped(one.label, room / 6.8), font: { size: 12 }, standoff: 8 }, automargin: true,
      type: one.log ? "log" : "linear", gridcolor: css("--line"), linecolor: css("--soft"),
      zeroline: false, exponentformat: "none", separatethousands: true,
      ...(one.ticks[0].length ? { tickvals: one.ticks[0], ticktext: one.ticks[1] } : one.log && powers(panel, name)),
      ...(one.range && { range: one.log ? one.range.map(Math.log10) : one.range }) }
  }
  const title = wrapped(panel.title, width / 8)
  const made = { autosize: true, height, showlegend: false,
    margin: { l: 10, r: 14, t: panel.title ? 14 + 18 * title.split("<br>").length : 12, b: 10 },
    title: { text: title, font: { size: 14 }, x: 0.5, y: 0.99, yanchor: "top" },
    font: { color: css("--ink"), family: "system-ui, sans-serif" }, hovermode: "closest", hoverdistance: 40,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: axis("x", width - 60), yaxis: axis("y", height - 60), shapes: [] }
  if (panel.span)
    made.shapes.push({ type: "rect", xref: "x", yref: "paper", x0: panel.span[0], x1: panel.span[1],
      y0: 0, y1: 1, fillcolor: "#CC79A7", opacity: 0.15, line: { width: 0 }, layer: "below" })
  return made
}

// Names beside points, where they cover no other and stay inside; the pointer tells the rest.
function name(place) {
  const { xaxis, yaxis } = place._fullLayout
  const named = place.data.map((trace, i) => ({ trace, i })).filter(({ trace }) => trace.labels?.length && trace.visible)
  if (!named.length) return
  const at = (axis, value) => axis.l2p(axis.d2l(value))
  const spots = named.flatMap(({ trace, i }) => trace.labels.map((label, k) => ({
    i, k, label, x: at(xaxis, trace.x[k]), y: at(yaxis, trace.y[k]),
    r: (trace.mode.startsWith("lines") ? 5 : trace.marker.size) / 2 })))
  const taken = spots.map(({ x, y, r }) => [x - r, y - r, x + r, y + r])
  const free = box => box[0] >= 0 && box[1] >= 0 && box[2] <= xaxis._length && box[3] <= yaxis._length &&
    !taken.some(other => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])
  const texts = new Map(named.map(({ trace, i }) => [i, trace.labels.map(() => "")]))
  const sides = new Map(named.map(({ trace, i }) => [i, trace.labels.map(() => "top center")]))
  for (const { i, k, label, x, y, r } of spots) {
    const [width, height] = [6.6 * label.length, 14]
    const across = { right: x + r, left: x - r - width, center: x - width / 2 }
    const up = { top: y - r - height - 1, bottom: y + r + 1, middle: y - height / 2 }
    for (const side of ["top right", "bottom right", "top left", "bottom left", "top center", "bottom center",
      "middle right", "middle left"]) {
      const [v, h] = side.split(" ")
      const box = [across[h], up[v], across[h] + width, up[v] + height]
      if (!label || !free(box)) continue
      taken.push(box)
      texts.get(i)[k] = label
      sides.get(i)[k] = side
      break
    }
  }
  Plotly.restyle(place, { text: [...texts.values()], textposition: [...sides.values()] }, [...texts.keys()])
}

// How a name is drawn, as a picture beside it.
function swatch(style, lines, points) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  made.setAttribute("class", "swatch")
  made.setAttribute("viewBox", "0 0 28 12")
  made.setAttribute("aria-hidden", "true")
  if (lines) made.innerHTML += `<path d="M0 6h28" stroke-dasharray="${DASHES[style.dash]}"/>`
  if (points) made.innerHTML += `<path class="mark" d="${SHAPES[style.symbol] || SHAPES.circle}"/>`
  made.dataset.colour = style.colour
  return made
}

function box(parent, text, checked, sign) {
  const label = parent.appendChild(document.createElement("label"))
  const input = label.appendChild(document.createElement("input"))
  input.type = "checkbox"
  input.checked = checked
  if (sign) label.append(sign)
  label.append(text)
  return input
}

function live(figure) {
  const chart = JSON.parse(figure.querySelector("script").textContent)
  const panels = figure.querySelector(".panels"), choices = figure.querySelector(".choices")
  figure.classList.add("live")
  const every = chart.panels.flatMap(panel => panel.series)
  const arms = new Map(Object.entries({ ...chart.names, ...chart.guides }).map(([name, style]) => {
    const found = every.filter(one => one.name === name)
    return [name, box(choices, name, true, swatch(style, found.some(one => !one.points), found.some(one => one.points)))]
  }))
  const own = every.filter(one => Object.keys(one.seeds).length)
  const seeds = own.length ? box(choices, "each seed", own.some(one => one.points)) : { checked: false }
  const seen = trace => arms.get(trace.meta).checked && (trace.part !== "seeds" || seeds.checked)
  const redraw = () => {
    for (const sign of choices.querySelectorAll(".swatch")) sign.style.color = shown(sign.dataset.colour)
    chart.panels.forEach((panel, i) => {
      const found = traces(chart, panel).map(trace => ({ ...trace, visible: seen(trace) }))
      const place = panels.children[i]
      Plotly.react(place, found, layout(chart, panel, place.clientWidth), { displayModeBar: false, responsive: true })
      name(place)
    })
  }
  for (const panel of chart.panels) {
    const place = panels.appendChild(document.createElement("div"))
    place.setAttribute("role", "img")
    place.setAttribute("aria-label", `${panel.title} ${panel.y.label} by ${panel.x.label}`)
  }
  choices.addEventListener("change", redraw)
  dark.addEventListener("change", redraw)
  redraw()
  for (const place of panels.children) place.on("plotly_relayout", () => name(place))
}

for (const figure of document.querySelectorAll("figure.chart")) live(figure)
