export const $ = (id) => document.getElementById(id);

export function show(element, shown = true) {
  element.hidden = !shown;
}

/** An element with these properties and children. Whatever comes from the server becomes text here, and never markup. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** A button that is no part of a form. */
export function button(text, className, run) {
  const element = make("button", { type: "button", className, textContent: text });
  element.addEventListener("click", run);
  return element;
}
