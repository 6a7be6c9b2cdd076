// From the server's answers to one list of calendar days, and what they add up to. No element here.

import { toDay, toNumber } from "./words.js";

export const SHOWN_DAYS = 56;

// One entry per calendar day, past and coming. `past` may be null: nothing was ever sold.
export function calendar(past, coming, base) {
  const sold = new Map((past?.days ?? []).map((day) => [day.date, day]));
  const before = new Map((base ?? []).map((day) => [day.date, day]));
  const end = toNumber(coming[0].date) - 1;
  const begin = past ? Math.max(end - SHOWN_DAYS + 1, toNumber(past.first_date)) : end + 1;
  const days = [];
  for (let n = begin; n <= end; n += 1) days.push(pastDay(toDay(n), sold.get(toDay(n))));
  coming.forEach((day, ahead) => days.push(comingDay(day, ahead, before.get(day.date), sold, past)));
  return days;
}

function pastDay(date, row) {
  return {
    date, isComing: false, isClosed: row === undefined, sold: row?.quantity_sold ?? null,
    price: row?.price ?? null, promotion: row?.promotion ?? false,
  };
}

function comingDay(day, ahead, before, sold, past) {
  // The same weekday of the last week that is known: the seasonal naive forecast.
  const lastWeek = toDay(toNumber(day.date) - 7 * (Math.floor(ahead / 7) + 1));
  return {
    date: day.date, isComing: true, isClosed: day.store_open === false, price: day.price,
    promotion: day.promotion, forecast: day.prediction, lower: day.lower ?? null,
    upper: day.upper ?? null, level: day.level ?? null, source: day.source,
    before: before?.prediction ?? null, priceBefore: before?.price ?? null,
    naive: past ? (sold.get(lastWeek)?.quantity_sold ?? null) : null, lastWeek,
  };
}

// Over the days on which the store is expected to open; null where nothing can be added up.
export function totals(days) {
  const open = days.filter((day) => day.isComing && !day.isClosed);
  const sum = (list, of) => (list.length && list.every((day) => of(day) !== null)
    ? list.reduce((total, day) => total + of(day), 0) : null);
  const known = open.filter((day) => day.naive !== null);
  const times = (quantity, price) => (quantity === null || price === null ? null : quantity * price);
  return {
    nOpen: open.length,
    forecast: sum(open, (day) => day.forecast),
    before: sum(open, (day) => day.before),
    naive: sum(known, (day) => day.naive),
    nNaive: known.length,
    forecastOfNaive: sum(known, (day) => day.forecast),
    value: sum(open, (day) => times(day.forecast, day.price)),
    valueBefore: sum(open, (day) => times(day.before, day.priceBefore)),
  };
}

const COLUMNS = ["date", "store_id", "product_id", "kind", "units", "lower", "upper", "level",
  "price", "promotion", "source", "model_version", "store_open"];

export function toCsv(days, { store, product, version }) {
  const rows = days.map((day) => [
    day.date, harmless(store), harmless(product), day.isComing ? "forecast" : "sold",
    (day.isComing ? day.forecast : day.sold) ?? "", day.lower ?? "", day.upper ?? "",
    day.level ?? "", day.price ?? "", day.promotion, day.isComing ? day.source : "",
    day.isComing ? version : "", !day.isClosed,
  ]);
  return [COLUMNS, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

// A spreadsheet takes what begins so for a formula; the apostrophe says that it is text.
const harmless = (text) => (/^[=+\-@\t\r]/.test(text) ? `'${text}` : text);

function cell(value) {
  const text = String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
