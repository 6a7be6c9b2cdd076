// Shows the answers: title, figures, legend, chart and the day pointed at.

import { described, draw, room } from "./chart.js";
import { byId, h, id, number, s } from "./dom.js";
import { showHistory } from "./plan.js";
import { calendar, totals } from "./series.js";
import { chosen, shown } from "./state.js";
import { against, expected, price, range, units, weekday, whereFrom } from "./words.js";

export function show(table) {
  byId("result").classList.remove("is-empty");
  shown.changed = shown.coming !== shown.base;
  shown.days = calendar(shown.past, shown.coming, shown.base);
  const coming = shown.days.filter((day) => day.isComing);
  byId("title").replaceChildren(id(chosen.product), h("span", { class: "soft" }, " in "), id(chosen.store));
  byId("source").textContent = whereFrom(shown.coming) + remarks();
  showFigures(totals(shown.days), coming);
  table.show(coming, shown.changed);
  byId("interval-head").textContent = coming[0].level ? `${coming[0].level} % interval` : "Interval";
  showHistory(shown.days, isObserved() ? "no row" : "closed");
  showLegend(coming);
  byId("plot").setAttribute("aria-label", described(shown.days, chosen.store, chosen.product));
  redraw();
}

const isObserved = () => shown.model?.manifest.calendar === "observed";

function remarks() {
  const { past } = shown;
  if (!past) return " It was never sold in this store.";
  if (!past.is_active) return " It was not sold in the last 56 days.";
  const strange = [!past.store_known_to_model && "store", !past.product_known_to_model && "product"].filter(Boolean);
  return strange.length ? ` The model was trained before this ${strange.join(" and this ")} joined.` : "";
}

function showFigures(sum, coming) {
  const put = (name, value, text) => byId(name).replaceChildren(value === null ? "–" : number(value, text));
  const period = `${coming[0].date} to ${coming.at(-1).date}`;
  put("total", sum.forecast, units(sum.forecast));
  byId("total-note").textContent = sum.nOpen < coming.length ? `${period}, ${coming.length - sum.nOpen} closed` : period;
  put("naive-total", sum.nNaive ? sum.naive : null, units(sum.naive));
  byId("naive-note").textContent = sum.nNaive
    ? `forecast: ${against(sum.forecastOfNaive, sum.naive)}${sum.nNaive < sum.nOpen ? ` over ${sum.nNaive} days` : ""}`
    : "no sales known then";
  put("change", shown.changed ? sum.forecast - sum.before : null, units(sum.forecast - sum.before, true));
  byId("change-note").textContent = shown.changed ? `units, from ${units(sum.before)}` : "none: type a price below";
  put("value", sum.value, units(sum.value));
  byId("value-note").textContent = sum.value === null ? "no price known"
    : shown.changed && sum.valueBefore !== null ? against(sum.value, sum.valueBefore) : "units times price";
  const moved = shown.changed ? ` Your changes: ${units(sum.forecast - sum.before, true)}.` : "";
  byId("spoken").textContent = `${chosen.product} in ${chosen.store}: ${units(sum.forecast)} units expected from ${period}.${moved}`;
}

function showLegend(coming) {
  const sample = (name, shape) => s("svg", { width: 26, height: 12, "aria-hidden": "true" }, shape(name));
  const line = (name) => s("path", { class: `line ${name}`, d: "M1,6H25" });
  const block = (name) => s("rect", { class: name, x: 1, y: 1, width: 24, height: 10 });
  const entries = [...(shown.past ? [["sold", line, "sold"]] : []), ["forecast", line, "forecast"]];
  if (coming[0].upper !== null) entries.push(["band", block, `${coming[0].level} % of days`]);
  if (coming.some((day) => day.naive !== null)) entries.push(["naive", line, "last week, repeated"]);
  if (shown.changed) entries.push(["before", line, "before your changes"]);
  if (!isObserved() && shown.days.some((day) => day.isClosed)) entries.push(["closed", block, "closed"]);
  byId("legend").replaceChildren(...entries.map(([name, shape, text]) => h("li", {}, sample(name, shape), text)));
}

export function redraw() {
  if (!shown.days.length) return;
  const first = shown.days.findIndex((day) => day.isComing);
  shown.drawn = shown.days.slice(Math.max(first - room(byId("chart").clientWidth), 0));
  const slider = byId("day");
  if (slider.max !== String(shown.drawn.length - 1)) {
    slider.max = shown.drawn.length - 1;
    slider.value = shown.drawn.findIndex((day) => day.isComing);
  }
  shown.chart = draw(shown.drawn);
  byId("plot").classList.toggle("observed", isObserved());
  byId("slider").style.paddingLeft = `${Math.max(shown.chart.inset.left - 8, 0)}px`;
  byId("slider").style.paddingRight = `${Math.max(shown.chart.inset.right - 8, 0)}px`;
  point();
}

export function point() {
  const n = byId("day").valueAsNumber;
  const day = shown.drawn[n];
  shown.chart.point(n);
  const parts = [];
  if (day.isClosed) parts.push(isObserved() && !day.isComing ? "no row" : "closed");
  else if (!day.isComing) parts.push(`sold ${units(day.sold)}`);
  else {
    parts.push(`forecast ${expected(day.forecast)}`);
    if (day.upper !== null) parts.push(`${day.level} %: ${range(day.lower, day.upper)}`);
    if (shown.changed) parts.push(`unchanged ${expected(day.before)}`);
    if (day.naive !== null) parts.push(`sold on ${day.lastWeek}: ${units(day.naive)}`);
  }
  if (day.price !== null) parts.push(`price ${price(day.price)}`);
  if (day.promotion) parts.push("promotion");
  const said = `${day.date} ${weekday(day.date)}: ${parts.join(", ")}`;
  byId("day").setAttribute("aria-valuetext", said);
  byId("readout").replaceChildren(h("strong", {}, `${day.date} ${weekday(day.date)}`), ` ${parts.join(" · ")}`);
}
