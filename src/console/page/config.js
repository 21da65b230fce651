/** What the service has set: see `settings.rs`. */
export let config = {};

/** Text that the service may replace. */
export let texts = {};

export async function readConfig() {
  const response = await fetch("?config.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`config.json: ${response.status}`);
  config = await response.json();
  texts = config.texts;
}
