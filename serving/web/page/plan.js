// What is planned for the coming days, and the table in which it is changed. The table is also the
// chart for whoever does not see it.

import { byId, h, number } from "./dom.js";
import { expected, price, range, readPrice, units, weekday } from "./words.js";

// date → { price: text as typed or "", promotion: true, false or null }
export class Plan {
  #days = new Map();

  static fromText(text) {
    const plan = new Plan();
    for (const part of (text ?? "").split("*")) {
      const found = /^(\d{4}-\d\d-\d\d)_([0-9.]*)_([01]?)$/.exec(part);
      if (found) plan.set(found[1], { price: found[2], promotion: found[3] ? found[3] === "1" : null });
    }
    return plan;
  }

  get(date) {
    return this.#days.get(date) ?? { price: "", promotion: null };
  }

  set(date, change) {
    const day = { ...this.get(date), ...change };
    if (day.price.trim() === "" && !day.promotion) this.#days.delete(date);
    else this.#days.set(date, day);
  }

  clear() {
    this.#days.clear();
  }

  // The shape of the API, on these dates only; `bad` are the dates whose price is no number.
  entries(dates) {
    const wanted = [];
    const bad = [];
    for (const date of dates) {
      const day = this.#days.get(date);
      if (!day) continue;
      const entry = { date, promotion: day.promotion ?? false };
      if (day.price.trim() !== "") {
        entry.price = readPrice(day.price);
        if (Number.isNaN(entry.price)) bad.push(date);
      }
      wanted.push(entry);
    }
    return { wanted, bad };
  }

  // For the page's address; what is no number is not worth sharing.
  toText() {
    return [...this.#days].sort().flatMap(([date, day]) => {
      const value = day.price.trim() === "" ? "" : readPrice(day.price);
      if (Number.isNaN(value) || value < 0) return [];
      return [`${date}_${value}_${day.promotion === null ? "" : Number(day.promotion)}`];
    }).join("*");
  }
}

// The table of the coming days. `changed()` is told after each change of the plan.
export class ComingTable {
  constructor(changed) {
    this.changed = changed;
    this.body = byId("coming").tBodies[0];
    this.rows = new Map();
    byId("many").addEventListener("submit", (event) => this.setMany(event));
    byId("undo").addEventListener("click", () => {
      this.plan.clear();
      this.write();
      this.changed();
      byId("from").focus(); // the button, now disabled, would drop the focus
    });
  }

  // Makes the rows anew when other days or another series are shown.
  build(dates, plan) {
    this.plan = plan;
    this.rows = new Map(dates.map((date) => [date, this.row(date)]));
    this.body.replaceChildren(...[...this.rows.values()].map((row) => row.element));
    for (const [name, last] of [["from", false], ["to", true]]) {
      const select = byId(name);
      select.replaceChildren(...dates.map((date) => h("option", { value: date }, `${date} ${weekday(date)}`)));
      select.value = last ? dates.at(-1) : dates[0];
    }
    this.write();
  }

  row(date) {
    const error = h("p", { id: `error-${date}`, class: "error", role: "alert" });
    const field = h("input", {
      inputmode: "decimal", autocomplete: "off", "aria-label": `Price on ${date}`,
      "aria-describedby": error.id, maxlength: "24",
      oninput: () => this.edit(date, { price: field.value }),
    });
    const promotion = h("input", {
      type: "checkbox", "aria-label": `Promotion on ${date}`,
      onchange: () => this.edit(date, { promotion: promotion.checked || null }),
    });
    const cells = [0, 1, 2, 3].map(() => h("td", {}, "–"));
    const element = h("tr", {},
      h("th", { scope: "row" }, `${date} `, h("span", { class: "soft" }, weekday(date))),
      h("td", {}, field, error), h("td", {}, promotion), cells);
    return { element, field, promotion, error, cells };
  }

  edit(date, change) {
    this.plan.set(date, change);
    this.changed();
  }

  // Writes the plan into the fields.
  write() {
    for (const [date, row] of this.rows) {
      const day = this.plan.get(date);
      row.field.value = day.price;
      row.promotion.checked = day.promotion === true;
    }
  }

  // Writes an answer beside the fields.
  show(days, isChanged) {
    for (const day of days) {
      const row = this.rows.get(day.date);
      if (!row) continue;
      row.field.placeholder = day.priceBefore === null ? "none known" : price(day.priceBefore);
      row.element.classList.toggle("is-closed", day.isClosed);
      const [forecast, interval, before, naive] = row.cells;
      forecast.replaceChildren(day.isClosed ? "closed" : number(day.forecast, expected(day.forecast)));
      interval.textContent = day.isClosed ? "–" : range(day.lower, day.upper);
      before.replaceChildren(isChanged && !day.isClosed ? number(day.before, expected(day.before)) : "–");
      naive.replaceChildren(day.naive === null ? "–" : number(day.naive, units(day.naive)));
      row.element.classList.toggle("is-changed", isChanged && day.before !== day.forecast);
    }
  }

  complain(date, text) {
    const row = this.rows.get(date);
    if (!row) return false;
    row.error.textContent = text;
    row.field.setAttribute("aria-invalid", "true");
    return true;
  }

  praise() {
    byId("many-error").textContent = "";
    for (const row of this.rows.values()) {
      row.error.textContent = "";
      row.field.removeAttribute("aria-invalid");
    }
  }

  setMany(event) {
    event.preventDefault();
    const [from, to] = [byId("from").value, byId("to").value];
    const text = byId("many-price").value;
    const promotion = { yes: true, no: null, "": undefined }[byId("many-promotion").value];
    byId("many-error").textContent = from > to ? `${from} is after ${to}: choose an earlier first day.`
      : text.trim() && Number.isNaN(readPrice(text)) ? `Price must be a number, found “${text}”.`
        : !text.trim() && promotion === undefined ? "Type a price or choose a promotion." : "";
    if (byId("many-error").textContent) return;
    for (const date of this.rows.keys()) {
      if (date < from || date > to) continue;
      if (text.trim()) this.plan.set(date, { price: text });
      if (promotion !== undefined) this.plan.set(date, { promotion });
    }
    this.write();
    this.changed();
  }
}

export function showHistory(days, missing) {
  byId("history").tBodies[0].replaceChildren(...days.filter((day) => !day.isComing).reverse().map((day) =>
    h("tr", { class: day.isClosed ? "is-closed" : null },
      h("th", { scope: "row" }, `${day.date} `, h("span", { class: "soft" }, weekday(day.date))),
      h("td", {}, day.isClosed ? missing : number(day.sold, units(day.sold))),
      h("td", {}, price(day.price)), h("td", {}, day.promotion ? "yes" : ""))));
}
