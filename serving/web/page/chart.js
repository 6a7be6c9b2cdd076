// The chart: SVG drawn by hand. What was sold, what is expected and where it may lie, and beneath
// it price and promotion. Lines differ in more than colour.

import { byId, s } from "./dom.js";
import { price, toNumber, units } from "./words.js";

const HEIGHT = 330;
const LEFT = 46;
const RIGHT = 14;
const TOP = 22;
const BOTTOM = 250;
const PROMOTION = 284;
const PRICES = { top: 298, bottom: 324 };

// Draws the days into the picture, as wide as its place is. Gives { at(x), point(n) }.
export function draw(days) {
  const svg = byId("plot");
  const width = Math.max(svg.parentElement.clientWidth, 240);
  const step = (width - LEFT - RIGHT) / days.length;
  const x = (n) => LEFT + (n + 0.5) * step;
  const highest = top(days);
  const y = (value) => BOTTOM - (Math.min(value, highest.limit) / highest.limit) * (BOTTOM - TOP);
  const frame = { days, width, step, x, y, highest };
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", HEIGHT);
  const cursor = s("g", { class: "cursor" });
  svg.replaceChildren(
    ...closed(frame), ...grid(frame), ...weeks(frame), ...border(frame),
    ...band(frame), line(frame, "naive", (day) => day.naive ?? null),
    ...(days.some((day) => day.before !== null && day.before !== day.forecast)
      ? [line(frame, "before", (day) => day.before ?? null)] : []),
    line(frame, "sold", (day) => day.sold ?? null), ...dots(frame),
    line(frame, "forecast", (day) => day.forecast ?? null), ...prices(frame), cursor,
  );
  return {
    at: (clientX) => {
      const inside = clientX - svg.getBoundingClientRect().left - LEFT;
      return Math.min(Math.max(Math.floor(inside / step), 0), days.length - 1);
    },
    point: (n) => cursor.replaceChildren(...pointer(frame, n)),
    inset: { left: LEFT + step / 2, right: RIGHT + step / 2 },
  };
}

// How many days of the past there is room for.
export const room = (width) => (width < 560 ? 21 : 42);

// The highest value to be shown; a few bounds far above everything else are cut off instead.
function top(days) {
  const lines = days.flatMap((day) => [day.sold, day.forecast, day.naive, day.before])
    .filter((value) => value !== null && value !== undefined);
  const bounds = days.map((day) => day.upper ?? 0);
  const most = Math.max(...lines, 0);
  const limit = Math.max(most, Math.min(Math.max(...bounds, 0), most * 2.5)) * 1.04 || 1;
  const rough = limit / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const tick = [1, 2, 2.5, 5, 10].find((times) => times * power >= rough) * power;
  return { limit, tick };
}

function* closed({ days, x, step }) {
  for (const [n, day] of days.entries()) {
    if (!day.isClosed) continue;
    yield s("rect", {
      class: "closed", x: x(n) - step / 2, y: TOP, width: step, height: BOTTOM - TOP,
    });
  }
}

function* grid({ highest, y, width }) {
  for (let n = 0; n * highest.tick <= highest.limit; n += 1) {
    const at = Math.round(y(n * highest.tick)) + 0.5;
    yield s("line", { class: n ? "grid" : "axis", x1: LEFT, x2: width - RIGHT, y1: at, y2: at });
    yield s("text", { x: LEFT - 7, y: at + 4, "text-anchor": "end" }, units(n * highest.tick));
  }
}

function* weeks({ days, x, step }) {
  const wanted = Math.ceil(88 / (7 * step));
  const mondays = [...days.keys()].filter((n) => (toNumber(days[n].date) + 3) % 7 === 0);
  for (const [place, n] of mondays.entries()) {
    if (place % wanted) continue;
    const at = Math.round(x(n)) + 0.5;
    yield s("line", { class: "axis", x1: at, x2: at, y1: BOTTOM, y2: BOTTOM + 4 });
    if (at < LEFT + 26 || at > x(days.length - 1) - 26) continue;
    yield s("text", { x: at, y: BOTTOM + 17, "text-anchor": "middle" }, days[n].date);
  }
}

// Where what is known ends.
function* border({ days, x, step }) {
  const first = days.findIndex((day) => day.isComing);
  const at = Math.round(x(first) - step / 2) + 0.5;
  yield s("line", { class: "border", x1: at, x2: at, y1: TOP - 14, y2: BOTTOM });
  yield s("line", { class: "border", x1: at, x2: at, y1: PROMOTION - 6, y2: PRICES.bottom });
  if (first > 0) yield s("text", { x: at - 6, y: TOP - 6, "text-anchor": "end" }, "sold");
  yield s("text", { x: at + 6, y: TOP - 6, class: "ahead" }, "forecast");
}

function* band({ days, x, y }) {
  for (const run of runs(days, (day) => (day.isComing && !day.isClosed ? day.upper : null))) {
    const upper = run.map((n) => `${x(n)},${y(days[n].upper)}`);
    const lower = run.toReversed().map((n) => `${x(n)},${y(days[n].lower)}`);
    yield s("polygon", { class: "band", points: [...upper, ...lower].join(" ") });
  }
}

// The days that have a value, closed ones between them left out.
function* runs(days, of) {
  let run = [];
  for (const [n, day] of days.entries()) {
    if (day.isClosed) continue;
    const value = of(day);
    if (value !== null && value !== undefined) run.push(n);
    else if (run.length) {
      yield run;
      run = [];
    }
  }
  if (run.length) yield run;
}

function line({ days, x, y }, name, of) {
  const path = [...runs(days, of)].map((run) => "M" + run.map((n) => `${x(n)},${y(of(days[n]))}`).join("L"));
  return s("path", { class: `line ${name}`, d: path.join("") || "M0,0" });
}

function* dots({ days, x, y, step }) {
  if (step < 6) return;
  for (const [n, day] of days.entries()) {
    if (day.isClosed) continue;
    if (day.isComing) yield s("circle", { class: "dot forecast", cx: x(n), cy: y(day.forecast), r: 2.6 });
    else yield s("circle", { class: "dot sold", cx: x(n), cy: y(day.sold), r: 2 });
  }
}

function* prices({ days, x, step, width }) {
  for (const [n, day] of days.entries()) {
    if (!day.promotion) continue;
    const wide = Math.max(Math.min(step - 1.5, 12), 2);
    yield s("rect", { class: "promotion", x: x(n) - wide / 2, y: PROMOTION - 4, width: wide, height: 6 });
  }
  const known = days.map((day) => day.price).filter((value) => value !== null);
  yield s("text", { x: 0, y: PROMOTION + 3 }, "promo");
  yield s("text", { x: 0, y: PRICES.bottom - 8 }, "price");
  if (!known.length) return;
  const [low, high] = [Math.min(...known), Math.max(...known)];
  const y = (value) => (high > low
    ? PRICES.bottom - ((value - low) / (high - low)) * (PRICES.bottom - PRICES.top)
    : (PRICES.bottom + PRICES.top) / 2);
  const path = [];
  let last = null;
  for (const [n, day] of days.entries()) {
    if (day.price === null) continue;
    const from = x(n) - step / 2;
    path.push(last === null ? `M${from},${y(day.price)}` : `L${from},${y(last)}V${y(day.price)}`);
    last = day.price;
  }
  yield s("path", { class: "line price", d: `${path.join("")}H${width - RIGHT}` });
}

function* pointer({ days, x, y }, n) {
  const day = days[n];
  const at = Math.round(x(n)) + 0.5;
  yield s("line", { x1: at, x2: at, y1: TOP, y2: BOTTOM });
  yield s("line", { x1: at, x2: at, y1: PROMOTION - 6, y2: PRICES.bottom });
  const value = day.isComing ? day.forecast : day.sold;
  if (value !== null && !day.isClosed) yield s("circle", { cx: x(n), cy: y(value), r: 4.5 });
}

// The picture in one sentence, for whoever cannot see it.
export function described(days, store, product) {
  const past = days.filter((day) => !day.isComing && !day.isClosed);
  const open = days.filter((day) => day.isComing && !day.isClosed);
  const ends = (list, of) => {
    const values = list.map(of);
    return `between ${units(Math.min(...values))} and ${units(Math.max(...values))} units a day`;
  };
  const sold = past.length
    ? `sold ${ends(past, (day) => day.sold)} from ${past[0].date} to ${past.at(-1).date}`
    : "without sales so far";
  const ahead = open.length
    ? `; expected ${ends(open, (day) => day.forecast)} from ${open[0].date} to ${open.at(-1).date}` : "";
  const at = open.length && open[0].price !== null ? `, at a price of ${price(open[0].price)} at first` : "";
  return `Line chart: ${product} in ${store}, ${sold}${ahead}${at}.`;
}
