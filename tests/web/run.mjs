// For ctest: node run.mjs units, or page. Ends with 77, skipped, where something is missing; under QANAT_CI that is a
// failure.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const BROWSERS = [
  process.env.QANAT_CHROMIUM,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

function missing(what) {
  if (what === "units") return null;
  if (!existsSync(`${process.env.QANAT_WEB_NPM ?? HERE}/node_modules/playwright-core`))
    return "playwright-core is not there: npm ci in tests/web";
  return BROWSERS.some((path) => path && existsSync(path)) ? null : "there is no Chromium: apt-get install chromium";
}

const what = process.argv[2];
const reason = missing(what);
if (reason) {
  console.log(`${process.env.QANAT_CI ? "FAILED" : "skipped"}: ${reason}`);
  process.exit(process.env.QANAT_CI ? 1 : 77);
}
process.exit(
  spawnSync(process.execPath, ["--test", "--test-reporter=spec", `${what}.test.mjs`], { cwd: HERE, stdio: "inherit" })
    .status ?? 1,
);
