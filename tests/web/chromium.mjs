// The Chromium of this machine, driven by playwright-core from where npm has put it: ./run keeps it in the cache.
import { existsSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";

const NPM = process.env.QANAT_WEB_NPM ?? fileURLToPath(new URL(".", import.meta.url));
const BROWSER =
  process.env.QANAT_CHROMIUM ??
  ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
export const PHONE = { width: 360, height: 740 };

// It trusts the certificate whose public key has the hash QANAT_WEB_SPKI, where that is given.
export async function launch() {
  const { chromium } = await import(pathToFileURL(`${NPM}/node_modules/playwright-core/index.mjs`).href);
  const spki = process.env.QANAT_WEB_SPKI;
  return chromium.launch({
    executablePath: BROWSER,
    args: ["--no-sandbox", "--disable-gpu", ...(spki ? [`--ignore-certificate-errors-spki-list=${spki}`] : [])],
  });
}
