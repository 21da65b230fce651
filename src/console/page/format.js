import { make } from "./dom.js";

const dates = new Intl.DateTimeFormat("en", { dateStyle: "medium" });
const times = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "short" });
const spans = new Intl.RelativeTimeFormat("en", { numeric: "auto" });

const DAY = 86_400_000;

/** A date, whose time is shown on hover and within a week of it. */
export function when(text, otherwise) {
  if (!text) return make("span", { textContent: otherwise });
  const date = new Date(text);
  const near = Math.abs(date - Date.now()) < 7 * DAY;
  return make("time", { dateTime: text, textContent: (near ? times : dates).format(date), title: times.format(date) });
}

export function ago(text) {
  if (!text) return make("span", { textContent: "Never" });
  const date = new Date(text);
  return make("time", { dateTime: text, textContent: agoInWords(date), title: times.format(date) });
}

function agoInWords(date) {
  const seconds = Math.max(0, (Date.now() - date) / 1000);
  const [size, unit] = [[86400, "day"], [3600, "hour"], [60, "minute"]].find(([size]) => seconds >= size) ?? [0, ""];
  if (unit === "day" && seconds > 30 * 86400) return dates.format(date);
  return size ? spans.format(-Math.floor(seconds / size), unit) : "Just now";
}

export const lastUse = (key) => (key.last_used_at ? `Last used: ${agoInWords(new Date(key.last_used_at)).toLowerCase()}` : "Never used");

export const moment = (date) => times.format(date);

export function access(key) {
  if (key.full_access) return make("span", { className: "chip full", textContent: "Full access" });
  if (key.scopes.length === 0) return make("span", { className: "soft", textContent: "No scopes" });
  const chips = key.scopes.map((scope) => make("li", { className: "chip", textContent: scope }));
  return make("ul", { className: "chips", role: "list" }, ...chips);
}

/** A key by its name, hint and last use, as names repeat. */
export function subject(key) {
  return [make("strong", { textContent: key.name }), make("code", { textContent: key.hint }), make("span", { textContent: lastUse(key) })];
}

/** `input` of the kind datetime-local has the local time without its offset. */
export function localInput(date) {
  const shifted = new Date(date.getTime() - date.getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

/** The end of so many days, or the time of the field, as the API takes it. */
export function expiry(choice, field, wrong) {
  if (choice === "") return undefined;
  if (choice !== "at") return new Date(Date.now() + Number(choice) * DAY).toISOString();
  const date = new Date(field);
  if (Number.isNaN(date.getTime())) throw wrong("Enter a date and a time.");
  return date.toISOString();
}
