const $ = (id) => document.getElementById(id);
let signsUp = false;

class Rejected extends Error {
  constructor(detail, seconds) {
    super(typeof detail === "string" ? detail : Object.values(detail).flat().join(" "));
    this.fields = typeof detail === "string" ? {} : detail;
    this.seconds = seconds;
  }
}

async function call(path, body) {
  let response;
  try {
    response = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  } catch {
    throw new Rejected("The server cannot be reached. Check your connection and try again.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok) return answer;
  throw new Rejected(answer?.detail ?? `The server answered with an error (${response.status}).`, Number(response.headers.get("Retry-After")) || 0);
}

function choose() {
  $("door-title").textContent = signsUp ? "Create your account" : "Log in";
  $("door-lead").textContent = signsUp ? "You get an organization of your own, and its first API key." : "Manage the API keys of your organization.";
  $("door-submit").textContent = signsUp ? "Sign up" : "Log in";
  $("door-question").textContent = signsUp ? "Have an account?" : "No account yet?";
  $("door-switch").textContent = signsUp ? "Log in" : "Sign up";
  $("door-password").autocomplete = signsUp ? "new-password" : "current-password";
  clear();
}

function clear() {
  $("door-error").hidden = true;
  for (const error of document.querySelectorAll(".field-error")) error.remove();
  for (const input of document.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/** Puts what is wrong below each field, and anything else above the form. A limit is counted down. */
function report(rejected) {
  const button = $("door-submit");
  button.disabled = false;
  const inputs = Object.keys(rejected.fields).map((name) => $("door-form").elements.namedItem(name));
  if (inputs.length && inputs.every(Boolean)) {
    for (const input of inputs) {
      const error = Object.assign(document.createElement("p"), { className: "field-error", id: `${input.id}-error`, textContent: rejected.fields[input.name].join(" ") });
      input.closest(".field").append(error);
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", error.id);
    }
    inputs[0].focus();
    return;
  }
  $("door-error").textContent = rejected.message;
  $("door-error").hidden = false;
  if (!rejected.seconds) return;
  let seconds = rejected.seconds;
  button.disabled = true;
  const tick = () => {
    $("door-error").textContent = `Too many attempts. Try again in ${seconds} ${seconds === 1 ? "second" : "seconds"}.`;
    if (seconds-- > 0) return;
    clearInterval(timer);
    button.disabled = false;
    clear();
  };
  const timer = setInterval(tick, 1000);
  tick();
}

$("door-switch").addEventListener("click", () => {
  signsUp = !signsUp;
  choose();
  $("door-email").focus();
});

$("door-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  if ($("door-submit").disabled) return;
  clear();
  $("door-submit").disabled = true;
  const body = { email: $("door-email").value, password: $("door-password").value };
  try {
    const signedUp = signsUp && await call("/api/v1/signup/", body);
    if (signedUp) {
      // If the login below is rejected, the key is shown nevertheless.
      $("new-key").textContent = signedUp.api_key;
      $("new-dialog").showModal();
    }
    await call("/mission-control/login/", body);
    if (!signedUp) location.assign("/settings/security");
  } catch (rejected) {
    if (!(rejected instanceof Rejected)) throw rejected;
    report(rejected);
  }
});

// Chrome lets a second Escape through, whatever becomes of its event.
$("new-dialog").addEventListener("keydown", (event) => { if (event.key === "Escape") event.preventDefault(); });
$("new-dialog").addEventListener("cancel", (event) => event.preventDefault());
$("copy").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText($("new-key").textContent);
    $("copied").textContent = "The key is copied to the clipboard.";
  } catch {
    getSelection().selectAllChildren($("new-key"));
    $("copied").textContent = "This browser does not let the page copy. The key is selected: copy it by hand.";
  }
});
$("saved").addEventListener("click", () => location.assign("/settings/security"));
