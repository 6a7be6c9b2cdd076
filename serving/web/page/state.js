// What is chosen and what was answered: the one place where the page remembers. No element here.

import { Plan } from "./plan.js";

export const chosen = { store: "", product: "", days: 14, level: 80, plan: new Plan() };

// `past`, `base` and `coming` are answers: the history, the forecast as things are, the forecast as
// planned (the same as `base` without a plan). `days` is their calendar, `drawn` what of it is in
// the chart.
export const shown = {
  past: null, base: null, coming: null, days: [], drawn: [], chart: null, model: null, changed: false,
};
