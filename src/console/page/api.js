import { config } from "./config.js";

/** Longer than any answer of a server that works. */
const PATIENCE = 20_000;

/** What came instead of an answer. A status of 0 means that nothing came. */
export class Rejected extends Error {
  constructor(status, detail, seconds = 0) {
    super(typeof detail === "string" ? detail : "Some of it is not as it should be.");
    this.status = status;
    this.fields = typeof detail === "object" && detail !== null ? detail : {};
    this.seconds = seconds;
  }
}

export const list = (query) => call("GET", "/", query);
export const create = (body, organization) => call("POST", "/", of({ organization }), body);
export const update = (key, body) => call("PATCH", `/${key.uid}/`, of(key), body);
export const revoke = (key) => call("POST", `/${key.uid}/revoke/`, of(key), {});
export const regenerate = (key, body) => call("POST", `/${key.uid}/regenerate/`, of(key), body);

/** An operator of all organizations names the one that a call is about. */
const of = (key) => (key.organization ? `?${new URLSearchParams({ organization: key.organization })}` : "");

/** Calls the API. The login of the service comes along as its cookie. */
async function call(method, path, query = "", body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const address = `${config.api.replace(/\/$/, "")}${path}${query}`;
  return answer(address, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
}

export async function answer(address, request) {
  let response;
  try {
    response = await fetch(address, { ...request, cache: "no-store", credentials: "same-origin", signal: AbortSignal.timeout(PATIENCE) });
  } catch (error) {
    throw new Rejected(0, lost(error, request.method));
  }
  // A login that has ended may be answered with a redirect to another page.
  const json = (response.headers.get("Content-Type") ?? "").startsWith("application/json");
  const content = json ? await response.json().catch(() => null) : null;
  if (response.ok && (json || response.status === 204)) return content;
  if (response.ok || response.redirected) throw new Rejected(401, "You are not logged in.");
  const detail = content?.detail ?? `The server answered with an error (${response.status}).`;
  throw new Rejected(response.status, detail, Number(response.headers.get("Retry-After")) || 0);
}

function lost(error, method) {
  const unsure = method === "GET" ? "" : " The change may have been made: refresh the list before you try again.";
  if (error.name === "TimeoutError") return `The server does not answer.${unsure || " Try again."}`;
  if (navigator.onLine === false) return `You are offline. Check your connection.${unsure}`;
  return `The server cannot be reached. Check your connection and try again.${unsure}`;
}
