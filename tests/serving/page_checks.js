// What a page must be for everyone. Each check returns what is wrong, in words; [] is well.
window.checks = (() => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const isSeen = (element) => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const named = (element) => `<${element.tagName.toLowerCase()} id="${element.id}">`;
  const textOf = (ids) => (ids ?? "").split(/\s+/).filter(Boolean)
    .map((id) => document.getElementById(id)?.textContent.trim() ?? "").join(" ").trim();
  const nameOf = (element) => element.getAttribute("aria-label")?.trim()
    || textOf(element.getAttribute("aria-labelledby"))
    || [...(element.labels ?? [])].map((label) => label.textContent.trim()).join(" ")
    || (["A", "BUTTON", "SUMMARY"].includes(element.tagName) ? element.textContent.trim() : "");

  const withoutName = () => all("input, select, textarea, button, a, summary, [role=listbox], [role=img], [role=region], [tabindex='0']")
    .filter(isSeen).filter((element) => !nameOf(element)).map(named);

  const references = () => all("*").flatMap((element) =>
    ["for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-activedescendant"].flatMap((name) =>
      (element.getAttribute(name) ?? "").split(/\s+/).filter(Boolean)
        .filter((id) => !document.getElementById(id)).map((id) => `${named(element)} ${name}=${id}`)));

  const sameIds = () => {
    const ids = all("[id]").map((element) => element.id);
    return ids.filter((id, n) => ids.indexOf(id) !== n);
  };

  const headings = () => {
    const levels = all("h1, h2, h3, h4").filter(isSeen).map((element) => Number(element.tagName[1]));
    const jumps = levels.filter((level, n) => level > (levels[n - 1] ?? 0) + 1);
    return levels.filter((level) => level === 1).length === 1 ? jumps : [...jumps, "not one h1"];
  };

  const tables = () => all("table").filter(isSeen).flatMap((table) => [
    ...[...table.querySelectorAll("th:not([scope])")].map(() => `${named(table)}: a th without scope`),
    ...[...table.tBodies[0].rows].filter((row) => row.cells[0].tagName !== "TH").map(() => `${named(table)}: a row without th`),
  ]);

  const small = () => all("input, select, button, [role=option]").filter(isSeen).filter((element) => {
    const box = element.getBoundingClientRect();
    return (box.height < 18 || box.width < 18) && element.getAttribute("type") !== "range";
  }).map(named);

  // Contrast, as WCAG 2.2 defines it.
  const channels = (text) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], ground) => [r, g, b].map((one, n) => one * a + ground[n] * (1 - a)).concat(1);
  const luminance = (colour) => colour.slice(0, 3).map((one) => one / 255)
    .map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, n) => sum + one * [0.2126, 0.7152, 0.0722][n], 0);
  const ratio = (one, other) => {
    const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const groundOf = (element) => {
    const chain = [];
    for (let one = element; one; one = one.parentElement) chain.push(channels(getComputedStyle(one).backgroundColor));
    return chain.reverse().reduce((ground, colour) => over(colour, ground), [255, 255, 255, 1]);
  };
  const against = (element, property) => {
    const ground = groundOf(element);
    return ratio(over(channels(getComputedStyle(element)[property]), ground), ground);
  };

  const paleText = () => all("body *").filter(isSeen).filter((element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()) || element.matches("input, select"))
    .filter((element) => !element.closest(":disabled, .unseen, option, [type=range], [type=checkbox]"))
    .map((element) => [element, against(element, element.closest("svg") ? "fill" : "color")])
    .filter(([, found]) => found < 4.5).map(([element, found]) => `${named(element)} ${element.textContent.slice(0, 40)} ${found.toFixed(2)}`);

  const paleLines = () => all("path.line, .promotion, .axis").map((element) =>
    [element, against(element, element.matches(".promotion") ? "fill" : "stroke")])
    .concat(all("input, select:enabled").filter(isSeen).filter((element) => !["range", "checkbox"].includes(element.type))
      .map((element) => [element, against(element, "borderTopColor")]))
    .filter(([, found]) => found < 3).map(([element, found]) => `${named(element)} ${element.getAttribute("class")} ${found.toFixed(2)}`);

  return { withoutName, references, sameIds, headings, tables, small, paleText, paleLines };
})();
