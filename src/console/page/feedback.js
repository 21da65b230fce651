// What went wrong, and what was done, in words.
import { Rejected } from "./api.js";
import { $, make, show } from "./dom.js";

/** Limits that are being counted down, by the place that shows them. */
const waiting = new Map();
let whenLoggedOut = () => {};

/** Sets what happens when the server no longer knows who this is. */
export function onLoggedOut(run) {
  whenLoggedOut = run;
}

/** Says in `place` why a call was rejected. A limit is counted down, and `button` is out of use until it is over. */
export function report(place, rejected, button) {
  clear(place);
  const text = place.querySelector("[data-message]") ?? place;
  if (rejected.status === 429 && rejected.seconds && button) countDown(place, text, rejected, button);
  else text.textContent = rejected.message;
  show(place);
}

function countDown(place, text, rejected, button) {
  const end = performance.now() + rejected.seconds * 1000;
  const left = make("b", { ariaLive: "off" });
  text.replaceChildren("Too many requests. Try again in ", left, ".");
  const tick = () => {
    const seconds = Math.ceil((end - performance.now()) / 1000);
    if (seconds <= 0) return clear(place);
    left.textContent = seconds === 1 ? "1 second" : `${seconds} seconds`;
  };
  button.disabled = true;
  waiting.set(place, { timer: setInterval(tick, 250), button });
  tick();
}

export function clear(place) {
  const wait = waiting.get(place);
  if (wait) {
    clearInterval(wait.timer);
    wait.button.disabled = false;
    waiting.delete(place);
  }
  show(place, false);
}

/** Reports what was done, and moves the focus there. */
export function done(text) {
  $("done").textContent = text;
  show($("done"));
  $("done").focus();
}

/** Puts what is wrong with each field below it, and returns whether there was a field for all of it. */
function reportFields(form, fields) {
  let first = null;
  let placed = true;
  for (const [name, messages] of Object.entries(fields)) {
    const field = form.querySelector(`[data-field="${CSS.escape(name)}"]`);
    if (!field || !field.checkVisibility()) {
      placed = false;
      continue;
    }
    const input = field.querySelector("input, select, textarea") ?? field;
    const error = make("p", { className: "field-error", id: `${form.id}-${name}-error`, textContent: [messages].flat().join(" ") });
    field.append(error);
    const described = input.closest("fieldset") === field ? field : input;
    described.setAttribute("aria-invalid", "true");
    described.setAttribute("aria-describedby", [described.dataset.describedby, error.id].filter(Boolean).join(" "));
    first ??= input;
  }
  first?.focus();
  return placed;
}

export function clearFields(form) {
  for (const error of form.querySelectorAll(".field-error")) error.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    if (input.dataset.describedby) input.setAttribute("aria-describedby", input.dataset.describedby);
    else input.removeAttribute("aria-describedby");
  }
}

/** A form in a dialog: runs what it is for, once at a time, and shows in it why it was rejected. */
export function onSubmit(form, run) {
  const place = form.querySelector("[role=alert]");
  const button = form.querySelector("button:not([type])");
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (button.disabled) return;
    clear(place);
    clearFields(form);
    button.disabled = true;
    button.ariaBusy = "true";
    try {
      await run();
      button.disabled = false;
    } catch (rejected) {
      button.disabled = false;
      if (!(rejected instanceof Rejected)) throw rejected;
      if (rejected.status === 401) return whenLoggedOut();
      const fields = Object.entries(rejected.fields);
      if (fields.length && reportFields(form, rejected.fields)) return;
      if (fields.length) rejected.message = fields.flatMap(([, messages]) => messages).join(" ");
      report(place, rejected, button);
    } finally {
      button.ariaBusy = null;
    }
  });
}

/** Opens a dialog as it was at first. */
export function open(dialog) {
  const form = dialog.querySelector("form");
  form.reset();
  clear(form.querySelector("[role=alert]"));
  clearFields(form);
  dialog.showModal();
}
