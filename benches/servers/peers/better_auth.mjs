// better-auth with its API key plugin, on SQLite: node better_auth.mjs DIRECTORY STORED USED
//
// Prints its versions, its port and the keys to use, one on a line, and then an empty line. Ends with its input.
import { createServer } from "node:http";
import { readFileSync } from "node:fs";
import { apiKey } from "@better-auth/api-key";
import { betterAuth } from "better-auth";
import { getMigrations } from "better-auth/db/migration";
import Database from "better-sqlite3";

const [directory, stored, used] = process.argv.slice(2);
const database = new Database(`${directory}/better_auth.db`);
database.pragma("journal_mode = WAL");
const auth = betterAuth({
  database,
  secret: "only the benchmark uses this secret",
  baseURL: "http://localhost",
  telemetry: { enabled: false },
  emailAndPassword: { enabled: true },
  // The default allows each key ten requests a day.
  plugins: [apiKey({ rateLimit: { enabled: false } })],
});
await (await getMigrations(auth.options)).runMigrations();

const body = { name: "bench", email: "bench@example.com", password: "a password of the benchmark" };
const { user } = await auth.api.signUpEmail({ body });
const permissions = { datasets: ["read"] };
const keys = [];
for (let number = 0; number < Number(stored); number += 1) {
  const { key } = await auth.api.createApiKey({
    body: { name: `service ${number}`, userId: user.id, expiresIn: 30 * 86_400, permissions },
  });
  if (number % (stored / used) === 0) keys.push(key);
}

const reply = (response, status, text) => {
  response.writeHead(status, { "content-type": "application/json", "content-length": text.length });
  response.end(text);
};
const server = createServer(async (request, response) => {
  const key = request.headers["x-avala-api-key"];
  const verified = key && (await auth.api.verifyApiKey({ body: { key, permissions } }));
  if (!verified?.valid) return reply(response, 401, '{"ok":false}');
  return reply(response, 200, '{"ok":true}');
});
server.listen(0, "127.0.0.1", () => {
  const version = (name) => `${name} ${JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version}`;
  const versions = ["better-auth", "@better-auth/api-key", "better-sqlite3"].map(version);
  console.log([`${versions.join(", ")}, Node ${process.versions.node}`, server.address().port, ...keys, ""].join("\n"));
});
process.stdin.resume().on("end", () => process.exit());
