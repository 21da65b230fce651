// Puts the page together.
import { answer, Rejected } from "./api.js";
import { config, readConfig, texts } from "./config.js";
import { startCreate } from "./create.js";
import { $, button, make, show } from "./dom.js";
import { onLoggedOut, report } from "./feedback.js";
import { load, startList } from "./list.js";
import { manage, startManage } from "./manage.js";
import { startRegenerate } from "./regenerate.js";
import { startRevoke } from "./revoke.js";
import { startSecret } from "./secret.js";

export async function start() {
  try {
    await readConfig();
  } catch {
    $("starting-text").textContent = "The page could not be loaded. Check your connection, and reload it.";
    return;
  }
  for (const element of document.querySelectorAll("[data-text]")) element.textContent = texts[element.dataset.text];
  header();
  onLoggedOut(loggedOut);
  startList(manage, loggedOut);
  startCreate();
  startManage();
  startSecret();
  startRevoke();
  startRegenerate();
  for (const close of document.querySelectorAll("[data-close]")) {
    close.addEventListener("click", () => close.closest("dialog").close());
  }
  show($("starting"), false);
  show($("keys"));
  await load();
}

/** The links of the service, who is logged in, and the way out. */
function header() {
  for (const { text, href } of config.links) $("links").append(make("a", { href, textContent: text }));
  $("actor").textContent = config.actor ?? "";
  show($("actor"), Boolean(config.actor));
  if (config.log_out) $("who").append(button("Log out", "quiet", logOut));
  if (config.log_in) $("log-in").href = config.log_in;
}

async function logOut(event) {
  try {
    await answer(config.log_out, { method: "POST", headers: { "Content-Type": "application/json" }, body: "{}" });
  } catch (rejected) {
    if (!(rejected instanceof Rejected)) throw rejected;
    if (rejected.status !== 401) return report($("list-error"), rejected, event.target);
  }
  leave();
}

/** Nothing of the one who was logged in stays. */
function leave() {
  if (config.log_in) location.assign(config.log_in); else location.reload();
}

/** The login has ended. A new key stays until it is saved. */
function loggedOut() {
  for (const dialog of document.querySelectorAll("dialog[open]")) if (dialog !== $("new-dialog")) dialog.close();
  $("rows").replaceChildren();
  show($("keys"), false);
  show($("who"), false);
  show($("ended"));
  $("ended-title").focus();
}
