// The dialog in which a key is replaced by a new one.
import { regenerate, Rejected } from "./api.js";
import { $, show } from "./dom.js";
import { onSubmit, open } from "./feedback.js";
import { expiry, localInput, moment, subject } from "./format.js";
import { load } from "./list.js";
import { showSecret } from "./secret.js";

let chosen = null;

export function startRegenerate() {
  $("regenerate-form").addEventListener("change", describe);
  onSubmit($("regenerate-form"), submit);
}

export function askToRegenerate(key) {
  chosen = key;
  open($("regenerate-dialog"));
  $("regenerate-subject").replaceChildren(...subject(key));
  show($("overlap-field"), key.status === "active");
  $("regenerate-at").min = localInput(new Date(Date.now() + 60_000));
  describe();
}

function overlap() {
  return chosen.status === "active" ? Number($("overlap").value) : 0;
}

/** Says when the old key stops. */
function describe() {
  show($("regenerate-at-field"), $("regenerate-expiry").value === "at");
  const end = new Date(Date.now() + overlap() * 1000);
  const own = chosen.expires_at && new Date(chosen.expires_at);
  $("regenerate-text").textContent = chosen.status === "expired"
    ? "This key has expired. A new one with the same name and access takes its place."
    : overlap() === 0
      ? "A new key with the same name and access takes its place. The old one stops working at once."
      : `A new key with the same name and access takes its place. The old one works until ${moment(own && own < end ? own : end)}.`;
}

async function submit() {
  const body = {
    expires_at: expiry($("regenerate-expiry").value, $("regenerate-at").value, (text) => new Rejected(400, { expires_at: [text] })),
    overlap_seconds: overlap(),
  };
  const issued = await regenerate(chosen, body);
  $("regenerate-dialog").close();
  const note = body.overlap_seconds ? "The old key works until the end of the overlap." : "The old key no longer works.";
  showSecret(issued, note);
  load();
}
