// A field that is typed into and a list of what fits: the combobox pattern of the ARIA guide.
// The list comes from the server, so tens of thousands of ids cost nothing here.

import { byId, debounced, h, id } from "./dom.js";
import { count } from "./words.js";

export class Picker {
  // The field, a combobox named `name`, is in the page already; its list is made here.
  // `load(text, signal)` gives { items: [{ id, note }], total }; `choose(id)` is told of a choice.
  constructor(root, { name, label, load, choose, fresh }) {
    Object.assign(this, { load, choose, fresh, name, value: "", options: [], at: -1, under: null });
    this.isTyped = false;
    this.listedFor = "";
    this.input = byId(name);
    this.list = h("ul", { id: `${name}-list`, role: "listbox", "aria-label": `${label}: what fits` });
    this.hint = h("p", { class: "hint", role: "status" });
    this.popup = h("div", { class: "popup", hidden: true }, this.list, this.hint);
    this.error = h("p", { id: `${name}-error`, class: "error", role: "alert" });
    root.append(this.popup, this.error);
    this.search = debounced(120, () => this.open(this.input.value));
    this.input.addEventListener("input", () => {
      this.isTyped = true;
      this.search();
    });
    this.input.addEventListener("click", () => this.popup.hidden && this.open(""));
    this.input.addEventListener("focus", () => this.input.select());
    this.input.addEventListener("blur", () => this.leave());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.popup.addEventListener("pointerdown", (event) => event.preventDefault());
  }

  // Shows what is chosen; whoever is typing meanwhile is not disturbed.
  show(value) {
    this.value = value;
    if (!this.isTyped) this.write(value);
  }

  write(value) {
    this.isTyped = false;
    this.input.value = value;
    this.input.title = value;
  }

  complain(text) {
    this.error.textContent = text;
    this.input.setAttribute("aria-invalid", text ? "true" : "false");
  }

  async open(text) {
    this.under?.abort();
    this.under = new AbortController();
    let found;
    try {
      found = await this.load(text, this.under.signal);
    } catch (error) {
      if (error.name !== "AbortError") this.close();
      return;
    }
    if (document.activeElement !== this.input) return;
    this.fill(found, text.trim());
  }

  fill({ items, total }, text) {
    this.listedFor = text;
    const named = items.findIndex((item) => item.id.toLowerCase() === text.toLowerCase());
    this.options = items.map((item) => ({ id: item.id, note: item.note }));
    if (text && named < 0) this.options.push({ id: text, note: this.fresh, isNew: true });
    this.list.replaceChildren(...this.options.map((option, n) => this.line(option, n)));
    const more = total - items.length;
    this.hint.textContent = more > 0 ? `${count(more)} more: type a part of the name`
      : total === 0 ? "Nothing known has this in its name" : "";
    this.hint.hidden = !this.hint.textContent;
    this.popup.hidden = false;
    this.input.setAttribute("aria-expanded", "true");
    const chosen = this.options.findIndex((option) => option.id === this.value);
    this.mark(text ? Math.max(named, 0) : chosen);
  }

  line(option, n) {
    const chosen = option.id === this.value;
    const line = h("li", { id: `${this.name}-${n}`, role: "option", "aria-selected": String(chosen) },
      id(option.id), h("span", { class: "soft" }, option.note ?? ""));
    line.addEventListener("click", () => this.take(option.id));
    return line;
  }

  mark(at) {
    this.list.children[this.at]?.classList.remove("marked");
    this.at = at;
    const line = this.list.children[at];
    line?.classList.add("marked");
    line?.scrollIntoView({ block: "nearest" });
    if (line) this.input.setAttribute("aria-activedescendant", line.id);
    else this.input.removeAttribute("aria-activedescendant");
  }

  key(event) {
    const isOpen = !this.popup.hidden;
    const step = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10 }[event.key];
    if (step !== undefined) {
      event.preventDefault();
      if (!isOpen) this.open("");
      else this.mark(Math.min(Math.max(this.at + step, 0), this.options.length - 1));
    } else if (event.key === "Enter") {
      event.preventDefault();
      this.enter(isOpen);
    } else if (event.key === "Escape" && isOpen) {
      this.close();
      this.write(this.value);
    }
  }

  // Whoever types faster than the server lists gets what was typed, not what was listed before.
  async enter(isOpen) {
    this.search.cancel(); // it would begin the list anew, and this would wait for nothing
    const text = this.input.value.trim();
    const isBehind = this.isTyped && (!isOpen || this.listedFor !== text);
    if (isBehind || !isOpen) await this.open(this.isTyped ? text : "");
    const marked = this.options[this.at];
    if (marked && !this.popup.hidden && (isBehind || isOpen)) this.take(marked.id);
  }

  take(value) {
    this.close();
    this.write(value);
    this.choose(value);
  }

  // Text that names one of the listed ids is a choice; any other is forgotten.
  leave() {
    const text = this.input.value.trim();
    const named = this.options.find((option) => !option.isNew && option.id === text);
    this.close();
    if (text !== this.value && named) this.take(text);
    else this.write(this.value);
  }

  close() {
    this.under?.abort();
    this.popup.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.mark(-1);
  }
}
