// The first module. The page may be at `/keys` or at `/keys/`, and only the browser knows which; the other modules are below
// the path that it has.
const base = location.pathname.endsWith("/") ? location.pathname : `${location.pathname}/`;
const { start } = await import(`${base}main.js`);
start();
