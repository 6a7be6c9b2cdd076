// The page: what is chosen and what is asked; what is shown is in show.js. The address holds the
// choice, so that it can be shared and the back button works.

import { Refused, Unreachable, ask, hasKey, useKey } from "./api.js";
import { handOver, showCard } from "./card.js";
import { byId, debounced, h } from "./dom.js";
import { Picker } from "./picker.js";
import { ComingTable, Plan } from "./plan.js";
import { SHOWN_DAYS, toCsv } from "./series.js";
import { point, redraw, show } from "./show.js";
import { chosen, shown } from "./state.js";
import { units } from "./words.js";

let card = null; // the promise of the model's
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
    card = showCard();
    card.catch(() => {}); // whoever waits for it is told
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
    shown.model = await card;
    signal.throwIfAborted();
    settle();
    show(table);
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
  const [past, first] = await Promise.all([
    ask("history", { parameters: { ...ids, days: SHOWN_DAYS + 7 }, signal }).catch((error) => {
      if (error instanceof Refused && error.status === 404) return null;
      throw error;
    }),
    forecast([], signal),
  ]);
  byId("level").disabled = typeof first[0].level !== "number";
  // Whether a level may be asked for is known once an answer has one.
  const isOther = !byId("level").disabled && first[0].level !== chosen.level;
  const base = isOther ? await forecast([], signal) : first;
  Object.assign(shown, { past, base, coming: base });
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
    card = showCard();
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
  byId("work").hidden = false;
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
