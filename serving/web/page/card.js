// The model card: what answers, how wrong it was beside simple rules, what it was made from.

import { ask, hasKey, send } from "./api.js";
import { byId, h, number } from "./dom.js";
import { count, family, toNumber, units } from "./words.js";

const SIMPLE = ["mean_baseline", "seasonal_naive", "naive_baseline", "training_median"];
const OLD_DAYS = 3;

// Asks for the model and shows it. Gives it without waiting for the other versions: a store that
// is slow to list them shall not hold up a forecast.
export async function showCard() {
  const model = await ask("model");
  byId("card-body").replaceChildren(...card(model));
  showVersions();
  return model;
}

async function showVersions() {
  let kept;
  try {
    kept = await ask("models");
  } catch (error) {
    kept = { versions: [], stale_because: `the kept versions cannot be had: ${error.message}` };
  }
  byId("versions").replaceChildren(...versions(kept));
}

function* card(model) {
  const manifest = model.manifest;
  const rows = model.metrics.filter((row) => typeof row.mae === "number");
  const served = rows.find((row) => row.name === manifest.candidate);
  yield h("p", { class: "version" }, h("strong", {}, family(manifest.candidate)),
    h("span", { class: "soft" }, `version ${model.model_version}`));
  if (model.challenger) yield h("p", { id: "challenger" }, challenge(model.challenger));
  const best = rows.filter((row) => SIMPLE.includes(row.name) && row !== served)
    .sort((a, b) => a.mae - b.mae)[0];
  if (served && best) yield h("p", {}, verdict(served, best));
  if (rows.length) yield errors(rows, served);
  yield h("p", { class: "soft small" }, `Units per day, on the ${manifest.horizon_days} days after `
    + `${manifest.scored_fit_cutoff}: forecast from that day, without having seen them. WAPE: error as a share of sales.`);
  yield facts(model);
  yield h("div", { id: "versions" });
}

function* versions(kept) {
  if (kept.stale_because) {
    yield h("p", { class: "warn" }, `Forecasts go on with what is loaded, but ${kept.stale_because}.`);
  }
  const others = kept.versions.filter((one) => !one.is_served);
  yield h("h3", {}, "Other kept versions");
  if (!others.length) yield h("p", { class: "soft" }, "None.");
  else {
    yield h("ul", { class: "versions" }, others.slice(0, 8).map((one) => h("li", {},
      `${one.version} `, h("span", { class: "soft" },
        `${family(one.candidate)}, MAE ${units(one.mae)}, until ${one.fit_cutoff}`))));
    if (others.length > 8) yield h("p", { class: "soft" }, `and ${count(others.length - 8)} older ones.`);
  }
}

function challenge({ model_version: version, candidate, mode, share }) {
  const what = `${family(candidate)}, version ${version},`;
  const part = `${units(share * 100)} %`;
  return mode === "split" ? `Beside it ${what} answers for ${part} of the series.`
    : `${what} is compared with it on ${part} of the series, and answers nothing.`;
}

function verdict(served, best) {
  const share = Math.round(Math.abs(1 - served.mae / best.mae) * 100);
  const than = `the best simple rule, “${family(best.name).toLowerCase()}”`;
  if (share === 0) return `Wrong by as much as ${than}.`;
  return `Wrong by ${share} % ${served.mae < best.mae ? "less" : "more"} than ${than}.`;
}

function errors(rows, served) {
  const most = Math.max(...rows.map((row) => row.mae));
  const shown = rows.filter((row) => row === served || SIMPLE.includes(row.name)).sort((a, b) => a.mae - b.mae);
  const body = shown.map((row) => h("tr", { class: row === served ? "served" : null },
    h("th", { scope: "row" }, family(row.name), bar(row.mae / most)),
    h("td", {}, number(row.mae, units(row.mae))),
    h("td", {}, typeof row.wape === "number" ? `${Math.round(row.wape * 100)} %` : "–"),
    h("td", {}, typeof row.bias === "number" ? units(row.bias, true) : "–")));
  return h("table", { id: "errors" },
    h("caption", { class: "unseen" }, "Error of the model beside simple rules"),
    h("thead", {}, h("tr", {}, ["", "MAE", "WAPE", "Bias"].map((name, n) => (n
      ? h("th", { scope: "col" }, name) : h("td", {}))))),
    h("tbody", {}, body));
}

function bar(share) {
  const fill = h("span", { class: "fill" });
  fill.style.width = `${(share * 100).toFixed(1)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, fill);
}

function facts(model) {
  const { manifest, state } = model;
  const files = manifest.raw_files.length;
  const rows = manifest.raw_files.reduce((sum, file) => sum + file.rows, 0);
  const list = [
    ["Fitted up to", manifest.fit_cutoff],
    ["Sales known until", state ? `${state.data_until}${age(state.data_until)}` : "no history is loaded"],
    ["Knows", state ? `${count(state.series)} series, ${count(state.stores)} stores, ${count(state.products)} products` : "–"],
    ["Training set", h("code", { title: manifest.training_set }, manifest.training_set.slice(0, 12))],
    ["Made from", `${count(files)} ${files === 1 ? "file" : "files"}, ${count(rows)} rows`],
    ["Commit", manifest.git_commit ? h("code", { title: manifest.git_commit }, manifest.git_commit.slice(0, 10)) : "not recorded"],
  ];
  if (manifest.files["report.html"]) list.push(["Report", report(model.model_version)]);
  return h("dl", { id: "facts" }, list.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

function age(day) {
  const days = Math.floor(Date.now() / 86_400_000) - toNumber(day);
  return days > OLD_DAYS ? `, ${count(days)} days ago` : "";
}

// A link cannot carry a key; with one, the page is fetched and handed over as a file.
function report(version) {
  if (!hasKey()) return h("a", { href: "model/report", target: "_blank", rel: "noopener" }, "how it did");
  const button = h("button", { type: "button", class: "link" }, "download it");
  button.addEventListener("click", async () => {
    try {
      handOver(await (await send("model/report")).blob(), `report-${version}.html`);
    } catch (error) {
      button.textContent = error.message;
    }
  });
  return button;
}

export function handOver(blob, name) {
  const address = URL.createObjectURL(blob);
  h("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

