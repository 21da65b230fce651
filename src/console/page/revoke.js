// The dialog in which a key is revoked.
import { list, revoke } from "./api.js";
import { $, show } from "./dom.js";
import { done, onSubmit, open } from "./feedback.js";
import { subject } from "./format.js";
import { load } from "./list.js";

let chosen = null;

export function startRevoke() {
  onSubmit($("revoke-form"), async () => {
    await revoke(chosen);
    $("revoke-dialog").close();
    await load();
    done(`The key “${chosen.name}” is revoked.`);
  });
}

export async function askToRevoke(key) {
  chosen = key;
  open($("revoke-dialog"));
  $("revoke-subject").replaceChildren(...subject(key));
  show($("revoke-last"), false);
  const isLast = await isLastWithFullAccess(key);
  if (chosen === key) show($("revoke-last"), isLast);
}

/** Whether no other key that works has full access. Without an answer, no. */
async function isLastWithFullAccess(key) {
  if (!key.full_access || key.status !== "active") return false;
  const owner = key.organization ? `&${new URLSearchParams({ organization: key.organization })}` : "";
  try {
    for (let query = `?status=active&limit=1000${owner}`; query;) {
      const page = await list(query);
      if (page.results.some((other) => other.full_access && other.uid !== key.uid && !other.replaced_by)) return false;
      query = page.next && new URL(page.next, location).search;
    }
    return true;
  } catch {
    return false;
  }
}
