// The dialog that shows a new key, this once.
import { config } from "./config.js";
import { $, show } from "./dom.js";
import { done } from "./feedback.js";
import { access } from "./format.js";

export function startSecret() {
  const dialog = $("new-dialog");
  // Chrome lets a second Escape through, whatever becomes of its event.
  dialog.addEventListener("keydown", (event) => { if (event.key === "Escape") event.preventDefault(); });
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  $("copy").addEventListener("click", () => copy($("new-key"), "The key is copied to the clipboard."));
  $("copy-curl").addEventListener("click", () => copy($("new-curl"), "The command is copied to the clipboard."));
  $("saved").addEventListener("click", () => {
    const name = $("new-name").textContent;
    $("new-key").textContent = "";
    $("new-curl").textContent = "";
    dialog.close();
    done(`The key “${name}” is ready to use.`);
  });
}

export function showSecret(issued, note = "") {
  $("new-name").textContent = issued.name;
  $("new-access").replaceChildren(access(issued));
  $("new-note").textContent = note;
  show($("new-note"), Boolean(note));
  $("new-key").textContent = issued.api_key;
  $("new-curl").textContent = `curl ${new URL(config.example, location.origin)} -H '${config.header}: ${issued.api_key}'`;
  $("copied").textContent = "";
  $("new-dialog").showModal();
  $("copy").focus();
}

async function copy(from, confirmation) {
  $("copied").textContent = "";
  try {
    await navigator.clipboard.writeText(from.textContent);
    $("copied").textContent = confirmation;
  } catch {
    getSelection().selectAllChildren(from);
    $("copied").textContent = "This browser does not let the page copy. The text is selected: copy it by hand.";
  }
}
