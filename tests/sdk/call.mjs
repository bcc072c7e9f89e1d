// One call of the SDK, for whoever wants to see them one by one:  node call.mjs ipsecTunnels.create [ID] '{"name":...}'
// The account is ours to add. Prints what came back as JSON; a refusal as { "refused", "status", "errors" }, with status 1.
import { Cloudflare, account_id, client } from "./client.mjs";

const [path, ...rest] = process.argv.slice(2);
const wish = { account_id, ...JSON.parse(rest.pop()) };
const [group, verb] = path.split(".");
try {
  console.log(JSON.stringify(await client().magicTransit[group][verb](...rest, wish)));
} catch (error) {
  if (!(error instanceof Cloudflare.APIError)) throw error;
  console.log(JSON.stringify({ refused: error.constructor.name, status: error.status, errors: error.errors }));
  process.exitCode = 1;
}
