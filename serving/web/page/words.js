// Numbers, days and sentences: how things are said. No element is made here.

const DAY_MS = 86_400_000;
const weekdays = new Intl.DateTimeFormat("en", { weekday: "short", timeZone: "UTC" });
const shares = new Intl.NumberFormat(undefined, {
  style: "percent", maximumFractionDigits: 1, signDisplay: "exceptZero",
});
const whole = new Intl.NumberFormat();
const money = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const toNumber = (day) => Math.round(Date.parse(`${day}T00:00:00Z`) / DAY_MS);
export const toDay = (n) => new Date(n * DAY_MS).toISOString().slice(0, 10);
export const weekday = (day) => weekdays.format(new Date(`${day}T00:00:00Z`));

// Three digits that matter: 1,234 and 34.2 and 0.27.
export const units = (value, signed = false) => written(value, 0, signed);

// The same with all three, for columns of forecasts: 34.0.
export const expected = (value) => written(value, 2, false);

const formats = new Map();

function written(value, least, signed) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  const digits = size >= 100 ? 0 : size >= 10 ? 1 : 2;
  const name = `${digits} ${least} ${signed}`;
  if (!formats.has(name)) {
    formats.set(name, new Intl.NumberFormat(undefined, {
      minimumFractionDigits: Math.min(least, digits), maximumFractionDigits: digits,
      signDisplay: signed ? "exceptZero" : "auto",
    }));
  }
  return formats.get(name).format(value);
}

export const count = (value) => whole.format(value);
export const price = (value) => (value === null || value === undefined ? "–" : money.format(value));
export const range = (low, high) => (low === null || low === undefined ? "–" : `${expected(low)} to ${expected(high)}`);

// A difference and its share of what it is compared with.
export function against(value, base) {
  const share = base > 0 ? ` (${shares.format(value / base - 1)})` : "";
  return `${units(value - base, true)}${share}`;
}

const MEANS = {
  series_mean: "the mean of this product in this store over its last 28 days, because there are fewer than 14 days of history here",
  product_mean: "the mean of this product in other stores, because this store has not sold it lately",
  store_mean: "the mean of what this store sells, because no store has sold this product lately",
  global_mean: "the mean of everything sold, because neither this store nor this product has been sold lately",
};

const FAMILIES = {
  naive_baseline: "Yesterday again",
  mean_baseline: "Last week's mean",
  seasonal_naive: "Same weekday last week",
  training_median: "One constant",
  linear_regression: "Linear regression",
  random_forest: "Random forest",
  xgboost: "Gradient boosting",
  pytorch_nn: "Neural network",
  champion: "Champion, refitted",
};

export const family = (name) => FAMILIES[name] ?? String(name).replaceAll("_", " ");

// Where the numbers come from, and why not from the model where they do not.
export function whereFrom(days) {
  const from = new Map();
  for (const day of days) from.set(day.source, (from.get(day.source) ?? 0) + 1);
  const version = days[0]?.model_version;
  const until = days[0]?.data_until;
  const parts = [...from].map(([source, n]) => {
    const what = source === "model" ? `model ${version}`
      : MEANS[source] ?? `“${source.replaceAll("_", " ")}”, because there is too little history for the model`;
    return from.size > 1 ? `${what} (${n} of ${days.length} days)` : what;
  });
  return `From ${parts.join(", and ")}. Sales are known until ${until}.`;
}

// What a person types as a price: 19.99 or 19,99. NaN if it is no number.
export function readPrice(text) {
  const plain = text.trim().replace(/^(\d+),(\d+)$/, "$1.$2");
  return /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
}
