// One tunnel, made and taken away by the SDK alone:  node tunnel.mjs make WISH | remove TUNNEL ROUTE
// WISH is JSON: { tunnel, prefix, nexthop }. Prints what it got as JSON.
import { account_id, client } from "./client.mjs";

const { ipsecTunnels, routes } = client().magicTransit;
const [verb, ...rest] = process.argv.slice(2);
if (verb === "make") {
  const wish = JSON.parse(rest[0]);
  const tunnel = await ipsecTunnels.create({ account_id, ...wish.tunnel });
  const { psk } = await ipsecTunnels.pskGenerate(tunnel.id, { account_id, body: {} });
  const route = await routes.create({ account_id, prefix: wish.prefix, nexthop: wish.nexthop, priority: 100 });
  console.log(JSON.stringify({ tunnel: tunnel.id, route: route.id, psk }));
} else {
  await routes.delete(rest[1], { account_id });
  console.log(JSON.stringify(await ipsecTunnels.delete(rest[0], { account_id })));
}
