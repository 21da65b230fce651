// The dialog in which a key is created.
import { create, Rejected } from "./api.js";
import { config } from "./config.js";
import { $, button, make, show } from "./dom.js";
import { onSubmit, open } from "./feedback.js";
import { expiry, localInput } from "./format.js";
import { load } from "./list.js";
import { showSecret } from "./secret.js";

export function startCreate() {
  const form = $("create-form");
  fill();
  $("create").addEventListener("click", () => {
    open($("create-dialog"));
    $("metadata-rows").replaceChildren();
    $("create-at").min = localInput(new Date(Date.now() + 60_000));
    describe();
  });
  form.addEventListener("change", describe);
  $("create-scope-text").addEventListener("input", describe);
  $("add-metadata").addEventListener("click", addMetadata);
  onSubmit(form, submit);
}

/** What the service knows: its scopes and environments. */
function fill() {
  for (const { name, meaning } of config.scopes) {
    const input = make("input", { type: "checkbox", name: "scopes", value: name });
    const small = meaning ? [make("small", { textContent: meaning })] : [];
    $("scope-list").append(make("label", { className: "choice" }, input, make("span", {}, make("code", { textContent: name }), ...small)));
  }
  show($("scope-list"), config.scopes.length > 0);
  show($("scope-text-field"), config.any_scope && config.scopes.length === 0);
  for (const name of config.environments) $("create-environment").append(make("option", { value: name, textContent: name }));
  show($("environment-field"), config.environments.length > 1);
  show($("organization-field"), config.all_organizations);
  const never = $("create-expiry").querySelector('option[value=""]');
  if (config.default_lifetime) never.textContent = "After the usual time";
  else if (config.expiry_required) never.remove();
}

function scopes() {
  const written = $("create-scope-text").value.split(/[\s,]+/).filter(Boolean);
  return [...document.querySelectorAll("#scope-list input:checked")].map((input) => input.value).concat(written);
}

/** Explains the choices. */
function describe() {
  const limited = scopes().length > 0;
  show($("full"), !limited && config.full_access);
  show($("scopes-limited"), limited);
  show($("scopes-needed"), !limited && !config.full_access);
  if (limited) $("full-confirmed").checked = false;
  if (limited || $("full-confirmed").checked) show($("full-error"), false);
  show($("create-at-field"), $("create-expiry").value === "at");
}

function addMetadata() {
  const number = $("metadata-rows").childElementCount + 1;
  const input = (label, name, maxLength) => make("input", { name, maxLength, autocomplete: "off", ariaLabel: `${label} ${number}`, placeholder: label });
  const row = make("div", { className: "pair" }, input("Name", "metadata-name", 40), input("Value", "metadata-value", 500));
  const remove = button("Remove", "quiet small", () => {
    row.remove();
    $("add-metadata").focus();
  });
  remove.ariaLabel = `Remove entry ${number}`;
  row.append(remove);
  $("metadata-rows").append(row);
  row.querySelector("input").focus();
}

function metadata() {
  const rows = [...$("metadata-rows").children].map((row) => [...row.querySelectorAll("input")].map((input) => input.value));
  return Object.fromEntries(rows.filter(([name, value]) => name || value));
}

async function submit() {
  const chosen = scopes();
  if (chosen.length === 0 && !$("full-confirmed").checked) {
    if (!config.full_access) throw new Rejected(400, { scopes: ["Choose at least one scope."] });
    show($("full-error"));
    $("full-confirmed").focus();
    return;
  }
  const body = {
    name: $("create-name").value,
    ...(chosen.length ? { scopes: chosen } : { full_access: true }),
    expires_at: expiry($("create-expiry").value, $("create-at").value, (text) => new Rejected(400, { expires_at: [text] })),
    environment: $("create-environment").value || undefined,
    metadata: metadata(),
  };
  const networks = $("create-networks").value.split(/[\s,]+/).filter(Boolean);
  if (networks.length) body.allowed_networks = networks;
  const issued = await create(body, $("create-organization").value.trim());
  $("create-dialog").close();
  showSecret(issued);
  load();
}
