// The dialog with everything about one key, and what can be done with it.
import { update } from "./api.js";
import { $, make, show } from "./dom.js";
import { clear, done, onSubmit, open } from "./feedback.js";
import { access, ago, moment, when } from "./format.js";
import { load } from "./list.js";
import { askToRegenerate } from "./regenerate.js";
import { askToRevoke } from "./revoke.js";

let chosen = null;

export function startManage() {
  onSubmit($("key-form"), rename);
  onSubmit($("suspend-form"), suspend);
  $("suspend").addEventListener("click", () => {
    $("key-dialog").close();
    ask();
  });
  $("resume").addEventListener("click", resume);
  $("regenerate").addEventListener("click", () => {
    $("key-dialog").close();
    askToRegenerate(chosen);
  });
  $("revoke").addEventListener("click", () => {
    $("key-dialog").close();
    askToRevoke(chosen);
  });
}

export function manage(key) {
  chosen = key;
  open($("key-dialog"));
  $("key-title").textContent = key.name;
  $("key-name").value = key.name;
  $("key-facts").replaceChildren(...facts(key).map(([name, ...values]) => make("div", {}, make("dt", { textContent: name }), make("dd", {}, ...values))));
  const isFinal = key.status === "revoked";
  show($("rename-field"), !isFinal);
  show($("key-actions"), !isFinal);
  show($("suspend"), !key.suspended);
  show($("resume"), key.suspended);
  // A suspended key is a conflict, and so is one that was replaced.
  show($("regenerate"), !key.suspended && !key.replaced_by);
}

function facts(key) {
  const text = (value) => make("span", { textContent: value });
  const rows = [
    ["Key", make("code", { textContent: key.hint })],
    ["Id", make("code", { textContent: key.uid })],
    key.organization && ["Organization", text(key.organization)],
    ["Access", access(key)],
    key.environment && ["Environment", text(key.environment)],
    ["Networks", text(key.allowed_networks ? key.allowed_networks.join(", ") : "Any")],
    ["Created", when(key.created_at, ""), text(key.created_by ? ` by ${key.created_by}` : "")],
    ["Expires", when(key.expires_at, "Never")],
    ["Last used", ago(key.last_used_at)],
    ["Requests", text(key.request_count.toLocaleString("en"))],
    key.revoked_at && ["Revoked", text(moment(new Date(key.revoked_at)))],
    key.replaced_by && ["Replaced by", make("code", { textContent: key.replaced_by })],
    ...Object.entries(key.metadata).map(([name, value]) => [name, text(value)]),
  ];
  return rows.filter(Boolean);
}

async function rename() {
  const name = $("key-name").value;
  await update(chosen, { name });
  $("key-dialog").close();
  await load();
  done(`The key is now called “${name}”.`);
}

function ask() {
  open($("suspend-dialog"));
  $("suspend-name").textContent = chosen.name;
}

async function suspend() {
  await update(chosen, { suspended: true });
  $("suspend-dialog").close();
  await load();
  done(`The key “${chosen.name}” is suspended. Resume it when it may be used again.`);
}

/** Gives back what the key had, so that nothing has to be confirmed. */
async function resume() {
  const error = $("key-form").querySelector("[role=alert]");
  clear(error);
  try {
    await update(chosen, { suspended: false });
  } catch (rejected) {
    error.textContent = rejected.message;
    return show(error);
  }
  $("key-dialog").close();
  await load();
  done(`The key “${chosen.name}” works again.`);
}
