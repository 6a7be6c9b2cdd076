// The page: what is chosen, what is asked, what is shown. The address holds the choice, so that it
// can be shared and the back button works.

import { Refused, Unreachable, ask, hasKey, useKey } from "./api.js";
import { handOver, showCard } from "./card.js";
import { described, draw, room } from "./chart.js";
import { byId, debounced, h, id, number, s } from "./dom.js";
import { Picker } from "./picker.js";
import { ComingTable, Plan, showHistory } from "./plan.js";
import { SHOWN_DAYS, calendar, toCsv, totals } from "./series.js";
import { against, expected, price, range, units, weekday, whereFrom } from "./words.js";

const chosen = { store: "", product: "", days: 14, level: 80, plan: new Plan() };
const shown = { past: null, base: null, coming: null, days: [], drawn: [], chart: null, model: null, changed: false };
let under = null; // of the requests under way
let retry = 0;

const storePicker = new Picker(byId("store-picker"), {
  name: "store", label: "Store", fresh: "a store not known so far",
  load: async (q, signal) => {
    const found = await ask("stores", { parameters: { q, limit: 50 }, signal });
    return {
      total: found.total,
      items: found.stores.map((one) => ({ id: one.store_id, note: `${one.active_series} products` })),
    };
  },
  choose: (store) => choose({ store }),
});
const productPicker = new Picker(byId("product-picker"), {
  name: "product", label: "Product", fresh: "a product not sold here so far",
  load: async (q, signal) => {
    const parameters = { q, limit: 50, ...(chosen.store && { store_id: chosen.store }) };
    const found = await ask("series", { parameters, signal });
    return {
      total: found.total,
      items: found.series.map((one) => ({
        id: one.product_id,
        note: one.is_active ? `${units(one.mean_28_days)} a day` : "not sold lately",
      })),
    };
  },
  choose: (product) => choose({ product }),
});
const table = new ComingTable(() => {
  byId("undo").disabled = chosen.plan.toText() === "";
  keepAddress("replaceState");
  askAgain();
});
const askAgain = debounced(200, () => load({ planOnly: true }));

// ---- the address

function readAddress() {
  const asked = new URLSearchParams(location.search);
  chosen.store = asked.get("store") ?? "";
  chosen.product = asked.get("product") ?? "";
  chosen.days = oneOf("days", asked.get("days"), 14);
  chosen.level = oneOf("level", asked.get("level"), 80);
  chosen.plan = Plan.fromText(asked.get("plan"));
  byId("days").value = chosen.days;
  byId("level").value = chosen.level;
}

function oneOf(select, text, otherwise) {
  return [...byId(select).options].some((one) => one.value === text) ? Number(text) : otherwise;
}

function keepAddress(how) {
  const asked = new URLSearchParams({ store: chosen.store, product: chosen.product });
  if (chosen.days !== 14) asked.set("days", chosen.days);
  if (chosen.level !== 80) asked.set("level", chosen.level);
  const plan = chosen.plan.toText();
  if (plan) asked.set("plan", plan);
  history[how](null, "", `?${asked}`);
  document.title = `${chosen.product} in ${chosen.store} · ScaleCast`;
}

function choose(change) {
  Object.assign(chosen, change);
  if (change.store !== undefined || change.product !== undefined) chosen.plan = new Plan();
  keepAddress("pushState");
  load({});
}

// ---- asking

async function start() {
  clearTimeout(retry);
  readAddress();
  try {
    byId("work").hidden = false;
    shown.model = await showCard();
    if (!chosen.store || !chosen.product) await chooseFirst();
    await load({});
  } catch (error) {
    fail(error);
  }
}

// Something to look at: the first product that is still sold, in the store asked for or the first.
async function chooseFirst() {
  if (!chosen.store) {
    const { stores } = await ask("stores", { parameters: { limit: 200 } });
    chosen.store = (stores.find((one) => one.active_series > 0) ?? stores[0]).store_id;
  }
  const { series } = await ask("series", { parameters: { store_id: chosen.store, limit: 200 } });
  chosen.product ||= (series.find((one) => one.is_active) ?? series[0])?.product_id ?? "";
  keepAddress("replaceState");
}

async function load({ planOnly = false }) {
  if (!chosen.store || !chosen.product) return;
  under?.abort();
  under = new AbortController();
  const { signal } = under;
  byId("result").setAttribute("aria-busy", "true");
  try {
    if (!planOnly || !shown.base) await loadAll(signal);
    else await loadPlanned(signal);
    settle();
    show();
  } catch (error) {
    if (error.name !== "AbortError") fail(error);
  } finally {
    if (under.signal === signal) byId("result").removeAttribute("aria-busy");
  }
}

async function loadAll(signal) {
  storePicker.show(chosen.store);
  productPicker.show(chosen.product);
  const ids = { store_id: chosen.store, product_id: chosen.product };
  const [past, base] = await Promise.all([
    ask("history", { parameters: { ...ids, days: SHOWN_DAYS + 7 }, signal }).catch((error) => {
      if (error instanceof Refused && error.status === 404) return null;
      throw error;
    }),
    forecast([], signal),
  ]);
  Object.assign(shown, { past, base, coming: base });
  byId("level").disabled = typeof base[0].level !== "number";
  table.build(base.map((day) => day.date), chosen.plan);
  byId("undo").disabled = chosen.plan.toText() === "";
  await loadPlanned(signal);
}

async function loadPlanned(signal) {
  const dates = shown.base.map((day) => day.date);
  const { wanted, bad } = chosen.plan.entries(dates);
  table.praise();
  for (const date of bad) table.complain(date, "must be a number, like 19.99");
  if (bad.length) return;
  shown.coming = wanted.length ? await forecast(wanted, signal) : shown.base;
  const [one, other] = [shown.base[0], shown.coming[0]];
  if (one.model_version !== other.model_version || one.data_until !== other.data_until) {
    // Another model or another day came in between: both are asked of the same one.
    shown.model = await showCard();
    await loadAll(signal);
  }
}

async function forecast(plan, signal) {
  const body = { store_id: chosen.store, product_id: chosen.product, horizon: chosen.days };
  if (plan.length) body.plan = plan;
  if (!byId("level").disabled) body.level = chosen.level;
  const { series } = await ask("forecast", { body, signal });
  return series[0].days;
}

// ---- what went wrong

function settle() {
  byId("trouble").hidden = true;
  byId("key-form").hidden = true;
  byId("forget-key").hidden = !hasKey();
  storePicker.complain("");
  productPicker.complain("");
}

function fail(error) {
  const status = error instanceof Refused ? error.status : 0;
  if (status === 401) return askForKey(error);
  if (status === 422 && complained(error.problems)) return undefined;
  if (status === 503 || error instanceof Unreachable) {
    return tell(status ? "No forecast can be made yet" : "The server does not answer",
      status ? error.problems.map((one) => one.message) : ["Is it running? Trying again every few seconds."], true);
  }
  return tell("That did not work", [error.message], false);
}

// Puts each problem beside its field; tells whether all of them found theirs.
function complained(problems) {
  const { wanted } = chosen.plan.entries((shown.base ?? []).map((day) => day.date));
  return problems.map((one) => {
    const place = /^plan\.(\d+)\./.exec(one.field);
    if (place) return table.complain(wanted[place[1]]?.date, one.rule);
    const picker = { store_id: storePicker, product_id: productPicker }[one.field];
    picker?.complain(one.rule);
    return picker !== undefined;
  }).every(Boolean);
}

function askForKey(error) {
  byId("key-form").hidden = false;
  byId("work").hidden = true;
  byId("trouble").hidden = true;
  byId("key-error").textContent = hasKey() ? error.message : "";
  byId("key").focus();
}

function tell(title, reasons, again) {
  const box = byId("trouble");
  box.replaceChildren(h("h2", {}, title), ...reasons.map((reason) => h("p", {}, reason)));
  if (again) {
    box.append(h("button", { type: "button", onclick: start }, "Try again"));
    clearTimeout(retry);
    retry = setTimeout(start, 5000);
  }
  box.hidden = false;
  byId("work").hidden = again && !shown.base;
}

// ---- showing

function show() {
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
  const entries = [["sold", line, "sold"], ["forecast", line, "forecast"]];
  if (coming[0].upper !== null) entries.push(["band", block, `${coming[0].level} % of days`]);
  if (coming.some((day) => day.naive !== null)) entries.push(["naive", line, "last week, repeated"]);
  if (shown.changed) entries.push(["before", line, "before your changes"]);
  if (!isObserved() && shown.days.some((day) => day.isClosed)) entries.push(["closed", block, "closed"]);
  byId("legend").replaceChildren(...entries.map(([name, shape, text]) => h("li", {}, sample(name, shape), text)));
}

function redraw() {
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

function point() {
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

// ---- what is clicked

byId("days").addEventListener("change", () => choose({ days: Number(byId("days").value) }));
byId("level").addEventListener("change", () => choose({ level: Number(byId("level").value) }));
byId("day").addEventListener("input", point);
byId("plot").addEventListener("pointermove", (event) => {
  if (!shown.chart) return;
  byId("day").value = shown.chart.at(event.clientX);
  point();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  try {
    useKey(byId("key").value.trim());
  } catch (error) {
    byId("key-error").textContent = error.message;
    return;
  }
  byId("key").value = "";
  start();
});
byId("forget-key").addEventListener("click", () => {
  useKey("");
  location.reload();
});
const csv = () => toCsv(shown.days, {
  store: chosen.store, product: chosen.product, version: shown.coming[0].model_version,
});
byId("copy").addEventListener("click", async () => {
  let said = "Copied.";
  try {
    await navigator.clipboard.writeText(csv());
  } catch {
    said = "The browser does not let this page copy; download it instead.";
  }
  byId("copied").textContent = said;
});
byId("download").addEventListener("click", () =>
  handOver(new Blob([csv()], { type: "text/csv" }), "forecast.csv"));
addEventListener("popstate", () => {
  readAddress();
  load({});
});
new ResizeObserver(redraw).observe(byId("chart"));

start();
