// Small helpers for building a page; text is always set as text.

export const byId = (id) => document.getElementById(id);

export function element(name, text, parent, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function shape(name, points) {
  const made = document.createElementNS(SVG, name);
  made.setAttribute("points", points.map((point) => point.join(",")).join(" "));
  return made;
}
