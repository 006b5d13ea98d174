// Elements are built, never parsed: no text of the data is ever read as markup.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
}

const h = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const s = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);
const $ = (id) => document.getElementById(id);
const isolated = (text, attributes = {}) => h("bdi", attributes, text);

const data = JSON.parse($("data").textContent);

const tip = {
  show(text, x, y) {
    const box = $("tip");
    box.textContent = text;
    box.hidden = false;
    const wide = box.offsetWidth, high = box.offsetHeight;
    box.style.left = `${Math.max(4, Math.min(x - wide / 2, innerWidth - wide - 4))}px`;
    box.style.top = `${y - high - 12 < 0 ? y + 18 : y - high - 12}px`;
  },
  hide() { $("tip").hidden = true; },
};

// A set of buttons of which one is pressed.
function choice(label, options, chosen, change) {
  const buttons = options.map(([value, text, figure]) => h("button", {
    type: "button", "aria-pressed": String(value === chosen), onclick: () => {
      for (const each of buttons) each.setAttribute("aria-pressed", String(each === buttons[options.findIndex((o) => o[0] === value)]));
      change(value);
    },
  }, text, figure == null ? null : h("span", {}, grouped(figure))));
  return h("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

function tallied(values) {
  const found = new Map();
  for (const value of values) found.set(value, (found.get(value) ?? 0) + 1);
  return [...found].sort((a, b) => b[1] - a[1]);
}
