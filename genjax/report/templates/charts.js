// Draws each figure's panels from the data beside it. Without this script its picture stays.
"use strict"
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()
const dark = matchMedia("(prefers-color-scheme: dark)")

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

function traces(chart, panel) {
  const made = []
  for (const one of panel.series) {
    const style = chart.names[one.name] || { colour: "#888888", dash: "dash" }
    const colour = shown(style.colour)
    const where = "<br>" + panel.x + ": %{x}<br>" + panel.y + ": %{y}"
    const common = { legendgroup: one.name, meta: one.name, hoverlabel: { namelength: -1 } }
    if (one.low.length && (chart.bands || one.guide)) {
      made.push({ ...common, part: "band", x: [...one.x, ...[...one.x].reverse()],
        y: [...one.high, ...[...one.low].reverse()], fill: "toself", mode: "lines",
        fillcolor: faded(colour, 0.18), line: { width: 0 }, hoverinfo: "skip" })
    }
    const range = one.low.length ? "<br>from %{customdata[0]} to %{customdata[1]}" : ""
    made.push({ ...common, part: "mean", x: one.x, y: one.y,
      customdata: one.x.map((_, i) => [one.low[i], one.high[i]]),
      mode: one.points ? "markers" : one.x.length < 12 && !one.guide ? "lines+markers" : "lines",
      line: { color: colour, dash: style.dash, width: one.guide ? 1 : 2 },
      marker: { color: colour, size: !one.points ? 5 : Object.keys(one.seeds).length ? 11 : 7 },
      hovertemplate: "<b>" + one.name + "</b>" + where + range + "<extra></extra>" })
    const seeds = Object.entries(one.seeds)
    if (!seeds.length) continue
    const x = [], y = [], text = []
    for (const [seed, found] of seeds) {
      const [across, up] = one.points ? found : [one.x, found]
      x.push(...across, null); y.push(...up, null); text.push(...across.map(() => seed), "")
    }
    made.push({ ...common, part: "seeds", x, y, text, mode: one.points ? "markers" : "lines",
      visible: one.points, opacity: 0.5, line: { color: colour, width: 1, dash: style.dash },
      marker: { color: colour, size: 6 },
      hovertemplate: "<b>" + one.name + "</b>, seed %{text}" + where + "<extra></extra>" })
  }
  return made
}

function layout(panel) {
  const axis = (title, log) => ({ title: { text: title, font: { size: 12 } }, automargin: true,
    type: log ? "log" : "linear", gridcolor: css("--line"), linecolor: css("--soft"),
    zeroline: false, hoverformat: ",.4~g", exponentformat: log ? "power" : "none",
    separatethousands: true })
  const made = { autosize: true, height: 300, margin: { l: 10, r: 10, t: 34, b: 10 },
    title: { text: panel.title, font: { size: 14 }, x: 0.5 }, showlegend: false,
    font: { color: css("--ink"), family: "system-ui, sans-serif" }, hovermode: "closest", hoverdistance: 40,
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    xaxis: axis(panel.x, panel.log_x), yaxis: axis(panel.y, panel.log_y), shapes: [] }
  if (panel.ticks[0].length)
    Object.assign(made.xaxis, { tickvals: panel.ticks[0], ticktext: panel.ticks[1] })
  if (panel.y_range)
    made.yaxis.range = panel.log_y ? panel.y_range.map(Math.log10) : panel.y_range
  if (panel.span)
    made.shapes.push({ type: "rect", xref: "x", yref: "paper", x0: panel.span[0], x1: panel.span[1],
      y0: 0, y1: 1, fillcolor: "#CC79A7", opacity: 0.15, line: { width: 0 }, layer: "below" })
  return made
}

function box(parent, text, checked, style) {
  const label = parent.appendChild(document.createElement("label"))
  const input = label.appendChild(document.createElement("input"))
  input.type = "checkbox"
  input.checked = checked
  if (style) {
    const swatch = label.appendChild(document.createElement("span"))
    const line = { solid: "solid", dash: "dashed", dot: "dotted" }[style.dash]
    swatch.className = "swatch"
    swatch.style.borderTop = `4px ${line} ${style.colour === "#000000" ? "currentColor" : style.colour}`
  }
  label.append(text)
  return input
}

function live(figure) {
  const chart = JSON.parse(figure.querySelector("script").textContent)
  const panels = figure.querySelector(".panels"), choices = figure.querySelector(".choices")
  figure.classList.add("live")
  const arms = new Map(Object.entries(chart.names).map(
    ([name, style]) => [name, box(choices, name, true, style)]))
  const every = chart.panels.flatMap(panel => panel.series)
  const seeds = every.some(one => Object.keys(one.seeds).length)
    ? box(choices, "each seed", every.some(one => one.points)) : { checked: false }
  const seen = trace => (arms.get(trace.meta)?.checked ?? true) &&
    (trace.part !== "seeds" || seeds.checked)
  const redraw = () => chart.panels.forEach((panel, i) => {
    const found = traces(chart, panel).map(trace => ({ ...trace, visible: seen(trace) }))
    Plotly.react(panels.children[i], found, layout(panel), { displayModeBar: false, responsive: true })
  })
  for (const panel of chart.panels) {
    const place = panels.appendChild(document.createElement("div"))
    place.setAttribute("role", "img")
    place.setAttribute("aria-label", `${panel.title} ${panel.y} by ${panel.x}`)
  }
  choices.addEventListener("change", redraw)
  dark.addEventListener("change", redraw)
  redraw()
}

for (const figure of document.querySelectorAll("figure.chart")) live(figure)
