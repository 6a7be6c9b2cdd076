// Makes elements. Text only ever becomes a text node: ids come from other people's files.

const SVG = "http://www.w3.org/2000/svg";

export const byId = (id) => document.getElementById(id);

export function h(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function s(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null));
  return element;
}

// An id beside other text: isolated, so that right-to-left letters in it turn nothing else around.
export const id = (text) => h("bdi", { class: "id", title: text }, text);

// What is shown, with the exact number behind it.
export const number = (value, text) => h("data", { value: String(value) }, text);

// Works once nobody has asked for `wait` milliseconds; `cancel` takes back what was asked.
export function debounced(wait, work) {
  let timer = 0;
  const ask = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), wait);
  };
  ask.cancel = () => clearTimeout(timer);
  return ask;
}
