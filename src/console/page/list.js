// The table of keys: what it shows, its filters and its search.
import { list as fetchKeys, Rejected } from "./api.js";
import { config, texts } from "./config.js";
import { $, button, make, show } from "./dom.js";
import { clear, report } from "./feedback.js";
import { access, ago, when } from "./format.js";

/** Answers to older questions are not shown. */
let generation = 0;
let next = null;
/** Those that are shown. */
let keys = [];
let manage = () => {};
let whenLoggedOut = () => {};

/** Sets what the button of each key does. */
export function startList(manageKey, loggedOut) {
  manage = manageKey;
  whenLoggedOut = loggedOut;
  $("show-all").addEventListener("click", () => {
    $("filter").value = "";
    $("search").value = "";
    load();
    $("filter").focus();
  });
  $("filter").addEventListener("change", fresh);
  $("refresh").addEventListener("click", () => {
    show($("done"), false);
    load();
  });
  $("retry").addEventListener("click", () => load());
  $("more-button").addEventListener("click", () => load(true));
  let typing;
  $("search").addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(fresh, 250);
  });
  $("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    clearTimeout(typing);
    fresh();
  });
  addEventListener("online", () => { if (!$("list-error").hidden) load(); });
}

function fresh() {
  show($("done"), false);
  load();
}

function question() {
  const query = new URLSearchParams();
  if ($("filter").value) query.set("status", $("filter").value);
  if ($("search").value.trim()) query.set("search", $("search").value.trim());
  const text = query.toString();
  return text && `?${text}`;
}

/** Shows the keys from their beginning, or what comes after those that are shown. */
export async function load(further = false) {
  const mine = ++generation;
  const asked = question();
  clear($("list-error"));
  const slow = setTimeout(() => { $("loading-text").textContent = "Still loading. The server is slow to answer."; }, 5000);
  $("loading-text").textContent = "Loading keys…";
  if (!further) {
    show($("more"), false);
    show($("loading"), $("table").hidden);
    if (!$("loading").hidden) show($("empty"), false);
  }
  $("table").ariaBusy = "true";
  $("more-button").disabled = true;
  try {
    const page = await fetchKeys(further ? next : asked);
    if (mine !== generation) return;
    keys = further ? keys.concat(page.results) : page.results;
    $("rows").replaceChildren(...ordered().map(row));
    if (further) rowOf(page.results[0])?.querySelector(".key-name").focus();
    next = page.next && new URL(page.next, location).search;
    summarize(asked);
  } catch (rejected) {
    if (!(rejected instanceof Rejected)) throw rejected;
    if (mine !== generation) return;
    if (rejected.status === 401) return whenLoggedOut();
    report($("list-error"), rejected, $("retry"));
    if ($("table").hidden) empty("The keys could not be loaded", "");
  } finally {
    clearTimeout(slow);
    if (mine === generation) {
      show($("loading"), false);
      $("table").ariaBusy = "false";
      $("more-button").disabled = false;
    }
  }
}

/** What works comes first. The newest first otherwise, as the API has it. */
function ordered() {
  const rank = (key) => ["active", "suspended", "expired", "revoked"].indexOf(key.status);
  return keys.toSorted((one, other) => rank(one) - rank(other));
}

const rowOf = (key) => key && $("rows").querySelector(`[data-uid="${key.uid}"]`);

/** Shows the table or why it is empty, and announces the number of keys to screen readers. */
function summarize(asked) {
  const count = $("rows").childElementCount;
  show($("table"), count > 0);
  show($("more"), Boolean(next));
  show($("empty"), count === 0);
  $("count").textContent = count === 1 ? "1 key is shown." : `${count} keys are shown${next ? ", and there are more" : ""}.`;
  if (count > 0) return;
  const status = $("filter").value;
  if ($("search").value.trim()) empty("No key matches", "Check the spelling, or search in all keys.");
  else if (status === "active") empty(texts.empty_title, texts.empty);
  else if (status) empty(`No ${status} keys`, "Choose another status to see the others.");
  else empty(texts.empty_title, texts.empty);
  show($("show-all"), Boolean(asked));
}

function empty(title, text) {
  $("empty-title").textContent = title;
  $("empty-text").textContent = text;
  show($("show-all"), false);
  show($("empty"));
}

function row(key) {
  const cell = (className, label, ...children) => {
    const cell = make("td", { className, role: "cell" }, ...children);
    if (label) cell.dataset.label = label;
    return cell;
  };
  const environment = key.environment && config.environments.length > 1 ? [make("span", { className: "tag", textContent: key.environment })] : [];
  const of = key.organization ? [make("span", { className: "soft", textContent: key.organization })] : [];
  const head = make("th", { className: "name", role: "rowheader", scope: "row" },
    make("span", { className: "key-name", textContent: key.name, tabIndex: -1 }),
    make("span", { className: "of-key" }, make("code", { textContent: key.hint }), ...environment), ...of);
  const row = make("tr", { role: "row", className: key.status },
    head,
    cell("access", "Access", access(key)),
    cell("status", "Status", ...status(key)),
    cell("time created", "Created", created(key)),
    cell("time expires", "Expires", when(key.expires_at, "Never")),
    cell("time used", "Last used", ago(key.last_used_at)),
    cell("actions", "", menu(key)));
  row.dataset.uid = key.uid;
  return row;
}

function created(key) {
  const time = when(key.created_at, "");
  if (key.created_by) time.title += ` by ${key.created_by}`;
  return time;
}

function status(key) {
  const word = key.status[0].toUpperCase() + key.status.slice(1);
  const badge = make("span", { className: `badge ${key.status}`, textContent: word });
  const note = key.revoked_at ? ["", key.revoked_at] : key.replaced_by && key.status === "active" ? ["Replaced, until ", key.expires_at] : null;
  return note ? [badge, make("small", {}, note[0], when(note[1], ""))] : [badge];
}

/** The button that shows everything about a key, and what can be done with it. */
function menu(key) {
  const label = key.status === "revoked" ? "Details" : "Manage";
  const item = button(label, "small manage", () => manage(key));
  item.ariaLabel = `${label} ${key.name} ${key.hint}`;
  return item;
}
