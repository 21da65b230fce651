"use strict";

const $ = (id) => document.getElementById(id);
const show = (element, shown = true) => { element.hidden = !shown; };

/** An element with these properties and children. Whatever comes from the server becomes text here, and never markup. */
function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// ===== calling the server =====

/** What the server said instead of an answer. */
class Refused extends Error {
  constructor(status, detail, seconds) {
    super(typeof detail === "string" ? detail : "Some of it is not as it should be.");
    this.status = status;
    this.fields = typeof detail === "object" && detail !== null ? detail : {};
    this.seconds = seconds;
  }
}

/** What the server knows a login by. It is in the memory of this page and nowhere else, so that a reload forgets it. */
let secret = null;

async function call(method, path, body) {
  const headers = secret ? { "X-Mission-Control-Session": secret } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new Refused(0, "The server cannot be reached. Check your connection and try again.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  const detail = answer?.detail ?? `The server answered with an error (${response.status}).`;
  throw new Refused(response.status, detail, Number(response.headers.get("Retry-After")) || 0);
}

// ===== telling what went wrong =====

const waiting = new Map();

/** Says it in `place`. A limit is counted down, and `button` is out of use until it is over. */
function tell(place, refused, button) {
  clear(place);
  show(place);
  const text = place.querySelector("span") ?? place;
  if (refused.status !== 429 || !refused.seconds) {
    text.textContent = refused.message;
    return;
  }
  const end = performance.now() + refused.seconds * 1000;
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

function clear(place) {
  const wait = waiting.get(place);
  if (wait) {
    clearInterval(wait.timer);
    wait.button.disabled = false;
    waiting.delete(place);
  }
  show(place, false);
}

/** Puts what is wrong with each field below it, and returns whether there was a field for all of it. */
function tellFields(form, fields) {
  let first = null;
  let placed = true;
  for (const [name, messages] of Object.entries(fields)) {
    const input = form.elements.namedItem(name);
    const field = input instanceof HTMLElement ? input.closest(".field") : null;
    if (!field) { placed = false; continue; }
    const error = make("p", { className: "field-error", id: `${input.id}-error`, textContent: [messages].flat().join(" ") });
    field.append(error);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", error.id);
    first ??= input;
  }
  first?.focus();
  return placed;
}

function clearFields(form) {
  for (const error of form.querySelectorAll(".field > .field-error")) error.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}

/** Runs what a form is for, once at a time, and shows in it why it was refused. */
async function submit(form, place, run) {
  const button = form.querySelector("button:not([type])");
  if (button.disabled) return;
  clear(place);
  clearFields(form);
  button.disabled = true;
  try {
    await run();
    button.disabled = false;
  } catch (refused) {
    button.disabled = false;
    if (!(refused instanceof Refused)) throw refused;
    if (refused.status === 401) return ended();
    const fields = Object.entries(refused.fields);
    if (fields.length && tellFields(form, refused.fields)) return;
    if (fields.length) refused.message = fields.flatMap(([, messages]) => messages).join(" ");
    tell(place, refused, button);
  }
}

// ===== who is logged in =====

let session = null;

function view(id) {
  for (const main of document.querySelectorAll("main")) show(main, main.id === id);
  show($("who"), id === "keys");
}

function door(mode = "log-in") {
  const signUp = mode === "sign-up";
  $("door-form").dataset.mode = mode;
  $("door-title").textContent = signUp ? "Create your account" : "Log in";
  $("door-lead").textContent = signUp ? "You get an organization of your own, and its first API key." : "Manage the API keys of your organization.";
  $("door-submit").textContent = signUp ? "Sign up" : "Log in";
  $("door-question").textContent = signUp ? "Have an account?" : "No account yet?";
  $("door-switch").textContent = signUp ? "Log in" : "Sign up";
  $("door-password").autocomplete = signUp ? "new-password" : "current-password";
  clear($("door-error"));
  clearFields($("door-form"));
  view("door");
}

function enter(account) {
  clearTimeout(session?.timer);
  // No browser waits longer than 2^31 milliseconds.
  const timer = setTimeout(ended, Math.min((account.seconds_left + 1) * 1000, 2 ** 31 - 1));
  session = { timer };
  $("email").textContent = account.email;
  show($("door-ended"), false);
  show($("done"), false);
  $("filter").value = "";
  view("keys");
  return load();
}

/** Nothing of the one who was logged in stays, except a new key, until it is saved. */
function leave(hasEnded) {
  clearTimeout(session?.timer);
  session = null;
  secret = null;
  generation += 1;
  $("rows").replaceChildren();
  $("email").textContent = "";
  $("door-form").reset();
  for (const dialog of document.querySelectorAll("dialog[open]")) if (dialog !== $("new-dialog")) dialog.close();
  door();
  show($("door-ended"), hasEnded);
  if (!$("new-dialog").open) $("door-email").focus();
}

function ended() {
  leave(session !== null);
}

async function logOut() {
  try {
    await call("POST", "/mission-control/logout/");
  } catch (refused) {
    if (refused.status !== 401) return tell($("list-error"), refused, $("log-out"));
  }
  leave(false);
}

$("door-switch").addEventListener("click", () => {
  door($("door-form").dataset.mode === "sign-up" ? "log-in" : "sign-up");
  show($("door-ended"), false);
  $("door-email").focus();
});

$("door-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit($("door-form"), $("door-error"), async () => {
    const body = { email: $("door-email").value, password: $("door-password").value };
    const signedUp = $("door-form").dataset.mode === "sign-up" ? await call("POST", "/api/v1/signup/", body) : null;
    if (signedUp) {
      // Were the login below refused, the key would be shown all the same.
      showNew({ name: "Sign up", full_access: true, scopes: [], api_key: signedUp.api_key });
      door();
    }
    secret = (await call("POST", "/mission-control/login/", body)).session;
    $("door-form").reset();
    await enter(await call("GET", "/mission-control/session/"));
    if (!signedUp) $("keys-title").focus();
  });
});

$("log-out").addEventListener("click", logOut);

// ===== the list =====

let generation = 0;
let next = null;

const dates = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const spans = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

function when(text, otherwise) {
  if (!text) return make("span", { textContent: otherwise });
  const date = new Date(text);
  return make("time", { dateTime: text, textContent: dates.format(date), title: text });
}

function ago(text) {
  if (!text) return make("span", { textContent: "Never" });
  const seconds = Math.max(0, (Date.now() - new Date(text)) / 1000);
  const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"]].find(([size]) => seconds >= size) ?? [0, ""];
  const words = size ? spans.format(-Math.floor(seconds / size), unit) : "Just now";
  return make("time", { dateTime: text, textContent: words, title: text });
}

function access(key) {
  if (key.full_access) return make("span", { className: "chip full", textContent: "Full access" });
  return make("span", { className: "chips" }, ...key.scopes.map((scope) => make("span", { className: "chip", textContent: scope })));
}

function row(key) {
  const cell = (className, label, ...children) => {
    const cell = make("td", { className, role: "cell" }, ...children);
    if (label) cell.dataset.label = label;
    return cell;
  };
  const action = (text, className, run) => {
    const button = make("button", { type: "button", className, textContent: text, ariaLabel: `${text} ${key.name}` });
    button.addEventListener("click", run);
    return button;
  };
  const actions = make("div", { className: "actions" });
  if (key.status !== "revoked") {
    actions.append(action("Regenerate", "regenerate", () => askToRegenerate(key)), action("Revoke", "revoke", () => askToRevoke(key)));
  }
  const row = make("tr", { role: "row" },
    cell("name", "", make("span", { className: "key-name", textContent: key.name }), make("code", { textContent: key.hint })),
    cell("access", "Access", access(key)),
    cell("status", "Status", make("span", { className: `badge ${key.status}`, textContent: key.status[0].toUpperCase() + key.status.slice(1) })),
    cell("time expires", "Expires", when(key.expires_at, "Never")),
    cell("time used", "Last used", ago(key.last_used_at)),
    cell("", "", actions));
  row.dataset.uid = key.uid;
  return row;
}

/** Shows the keys from their beginning, or what comes after those that are shown. */
async function load(further = false) {
  const mine = ++generation;
  const status = $("filter").value;
  const query = further ? next : status && `?status=${status}`;
  clear($("list-error"));
  if (!further) {
    show($("empty"), false);
    show($("more"), false);
    show($("loading"), $("table").hidden);
  }
  $("table").ariaBusy = "true";
  try {
    const page = await call("GET", `/mission-control/api-keys/${query}`);
    if (mine !== generation) return;
    const rows = page.results.map(row);
    if (further) $("rows").append(...rows); else $("rows").replaceChildren(...rows);
    next = page.next && new URL(page.next).search;
    const none = $("rows").childElementCount === 0;
    show($("table"), !none);
    show($("empty"), none);
    show($("more"), Boolean(next));
    $("empty-title").textContent = status ? `No ${status} keys` : "No keys yet";
    $("empty-text").textContent = status ? "Show all keys to see the others." : "Create one to let a program in.";
  } catch (refused) {
    if (!(refused instanceof Refused)) throw refused;
    if (mine !== generation) return;
    if (refused.status === 401) return ended();
    tell($("list-error"), refused, $("retry"));
    if ($("table").hidden) {
      show($("empty"));
      $("empty-title").textContent = "The keys could not be loaded";
      $("empty-text").textContent = "";
    }
  } finally {
    if (mine === generation) {
      show($("loading"), false);
      $("table").ariaBusy = "false";
    }
  }
}

function done(text) {
  $("done").textContent = text;
  show($("done"));
  $("done").focus();
}

$("filter").addEventListener("change", () => {
  show($("done"), false);
  show($("table"), false);
  load();
});
$("refresh").addEventListener("click", () => {
  show($("done"), false);
  load();
});
$("retry").addEventListener("click", () => load());
$("more-button").addEventListener("click", () => load(true));

// ===== creating =====

const scopes = () => [...document.querySelectorAll("#scopes input:checked")].map((input) => input.value);

function say() {
  const limited = scopes().length > 0;
  show($("full"), !limited);
  show($("scopes-limited"), limited);
  show($("full-error"), false);
  if (limited) $("full-confirmed").checked = false;
  show($("create-at-field"), $("create-expiry").value === "at");
}

const inDays = (days) => new Date(Date.now() + days * 86400000).toISOString();

function expiry() {
  const chosen = $("create-expiry").value;
  if (chosen !== "at") return chosen ? inDays(Number(chosen)) : undefined;
  const date = new Date($("create-at").value);
  if (Number.isNaN(date.getTime())) throw new Refused(400, { expires_at: ["Enter a date and a time."] });
  return date.toISOString();
}

$("create").addEventListener("click", () => {
  $("create-form").reset();
  clear($("create-error"));
  clearFields($("create-form"));
  say();
  $("create-dialog").showModal();
});

$("create-form").addEventListener("change", say);

$("create-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const chosen = scopes();
  if (chosen.length === 0 && !$("full-confirmed").checked) {
    show($("full-error"));
    $("full-confirmed").focus();
    return;
  }
  submit($("create-form"), $("create-error"), async () => {
    const what = chosen.length ? { scopes: chosen } : { full_access: true };
    const issued = await call("POST", "/mission-control/api-keys/", { name: $("create-name").value, ...what, expires_at: expiry() });
    $("create-dialog").close();
    showNew(issued);
    load();
  });
});

// ===== the new key, shown once =====

function showNew(issued) {
  $("new-name").textContent = issued.name;
  $("new-access").replaceChildren(access(issued));
  $("new-key").textContent = issued.api_key;
  $("copied").textContent = "";
  $("new-dialog").showModal();
  $("copy").focus();
}

// Chrome lets a second Escape through, whatever becomes of its event.
$("new-dialog").addEventListener("keydown", (event) => { if (event.key === "Escape") event.preventDefault(); });
$("new-dialog").addEventListener("cancel", (event) => event.preventDefault());

$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("new-key").textContent);
    $("copied").textContent = "Copied to the clipboard.";
  } catch {
    getSelection().selectAllChildren($("new-key"));
    $("copied").textContent = "This browser does not let the page copy. The key is selected: copy it by hand.";
  }
});

$("saved").addEventListener("click", () => {
  const name = $("new-name").textContent;
  $("new-key").textContent = "";
  $("new-dialog").close();
  if (session) done(`The key “${name}” is ready to use.`); else $("door-email").focus();
});

// ===== revoking and regenerating =====

let chosen = null;

function askToRevoke(key) {
  chosen = key;
  $("revoke-name").textContent = key.name;
  clear($("revoke-error"));
  $("revoke-dialog").showModal();
}

function askToRegenerate(key) {
  chosen = key;
  $("regenerate-name").textContent = key.name;
  $("regenerate-text").textContent = key.status === "expired"
    ? "This key has expired. A new one with the same name and access takes its place and restores access."
    : "A new key with the same name and access takes its place. The old one is refused at once.";
  $("regenerate-form").reset();
  clear($("regenerate-error"));
  $("regenerate-dialog").showModal();
}

$("revoke-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit($("revoke-form"), $("revoke-error"), async () => {
    await call("POST", `/mission-control/api-keys/${chosen.uid}/revoke/`);
    $("revoke-dialog").close();
    await load();
    if (session) done(`The key “${chosen.name}” is revoked.`);
  });
});

$("regenerate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  submit($("regenerate-form"), $("regenerate-error"), async () => {
    const days = $("regenerate-expiry").value;
    const body = days ? { expires_at: inDays(Number(days)) } : {};
    const issued = await call("POST", `/mission-control/api-keys/${chosen.uid}/regenerate/`, body);
    $("regenerate-dialog").close();
    showNew(issued);
    load();
  });
});

for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}

// ===== the beginning =====

door();
$("door-email").focus();
