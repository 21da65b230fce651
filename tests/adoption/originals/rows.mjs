// Prints rows as better-auth's plugin for API keys writes them, and the key of each, as JSON.
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";

const tables = { user: [], session: [], account: [], verification: [], apikey: [] };
const auth = betterAuth({
  baseURL: "http://127.0.0.1",
  secret: "0123456789abcdef0123456789abcdef",
  database: memoryAdapter(tables),
  emailAndPassword: { enabled: true },
  telemetry: { enabled: false },
  plugins: [apiKey({ keyExpiration: { minExpiresIn: 0 }, enableMetadata: true })],
});

const signup = await auth.api.signUpEmail({
  body: { email: "ada@example.com", password: "correct horse battery", name: "Ada" },
});
const seconds = (time) => (time ? Math.floor(new Date(time).getTime() / 1000) : null);

async function row(change, options) {
  const created = await auth.api.createApiKey({ body: { userId: signup.user.id, name: "ci", ...options } });
  const stored = tables.apikey.find((key) => key.id === created.id);
  Object.assign(stored, change);
  const times = {};
  for (const name of ["createdAt", "updatedAt", "expiresAt", "lastRequest", "lastRefillAt"]) {
    times[name] = seconds(stored[name]);
  }
  return { key: created.key, row: { ...stored, ...times } };
}

const permissions = { datasets: ["read"] };
const rows = {
  valid: await row({}, { permissions, prefix: "acme_" }),
  disabled: await row({ enabled: false }, { permissions }),
  expired: await row({ expiresAt: new Date(Date.now() - 3_600_000) }, { permissions }),
};
console.log(JSON.stringify({ better_auth: rows }));
process.exit(0);
