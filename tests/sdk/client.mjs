// The official package, unmodified, from the folder that ./run installs it into (QANAT_SDK_DIR); only its base URL is ours.
//   QANAT_API=https://localhost:8443 QANAT_TOKEN=... NODE_EXTRA_CA_CERTS=ca.crt
import { createRequire } from "node:module";
import path from "node:path";

const require = createRequire(path.join(process.env.QANAT_SDK_DIR, "index.js"));
export const Cloudflare = require("cloudflare").default;
export const account_id = process.env.QANAT_ACCOUNT ?? "023e105f4ecef8ad9ca31a8372d0c353";

export function client(apiToken = process.env.QANAT_TOKEN, more = {}) {
  return new Cloudflare({ apiToken, baseURL: `${process.env.QANAT_API}/client/v4`, maxRetries: 0, timeout: 20_000, ...more });
}
