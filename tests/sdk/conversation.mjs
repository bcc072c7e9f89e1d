// Every call that the SDK has for tunnels and routes, and its error classes on bad input. One line a step; the first that
// is not as it must be ends it with status 1.
import assert from "node:assert/strict";
import { Cloudflare, account_id, client } from "./client.mjs";

const cf = client();
const tunnels = cf.magicTransit.ipsecTunnels;
const routes = cf.magicTransit.routes;
const ours = process.env.QANAT_ENDPOINT;
const steps = [];
const step = (name, run) => steps.push([name, run]);
const fails = (promise, kind, match) => assert.rejects(promise, (error) => {
  assert.ok(error instanceof kind, `${error.constructor.name} instead of ${kind.name}: ${error.message}`);
  assert.ok(error.errors.length > 0 && Number.isInteger(error.errors[0].code), "the envelope has no error with a code");
  assert.match(error.errors.map((one) => one.message).join("; "), match);
  return true;
});
const wish = (number, more = {}) => ({ account_id, name: `branch-${number}`, cloudflare_endpoint: ours, customer_endpoint: `198.18.0.${number}`,
  interface_address: `10.99.${number}.0/31`, psk: "qpsk1-aW50ZXJvcCBrZXksIG5vdCBhIHNlY3JldCAgISEhICE", ...more });
let one;
let route;

step("an empty gateway lists nothing", async () => {
  assert.deepEqual((await tunnels.list({ account_id })).ipsec_tunnels, []);
  assert.deepEqual((await routes.list({ account_id })).routes, []);
});
step("create", async () => {
  one = await tunnels.create(wish(1, { description: "first", health_check: { enabled: true, type: "request", rate: "low", direction: "bidirectional" } }));
  assert.match(one.id, /^[0-9a-f]{32}$/);
  assert.equal(one.name, "branch-1");
  assert.equal(one.customer_endpoint, "198.18.0.1");
  assert.equal(one.psk, undefined, "a key is never read back");
  assert.ok(Date.parse(one.created_on) > 0 && Date.parse(one.modified_on) > 0);
});
step("validate_only makes nothing", async () => {
  await tunnels.create(wish(9), { query: { validate_only: true } });
  assert.equal((await tunnels.list({ account_id })).ipsec_tunnels.length, 1);
});
step("get, as Terraform asks too", async () => {
  const { ipsec_tunnel } = await tunnels.get(one.id, { account_id });
  assert.equal(ipsec_tunnel.id, one.id);
  const shown = (await tunnels.get(one.id, { account_id, "x-magic-new-hc-target": true })).ipsec_tunnel;
  assert.equal(typeof shown.health_check.target, "object");
  assert.equal(ipsec_tunnel.health_check.rate, "low");
});
step("update keeps what it does not name", async () => {
  const reply = await tunnels.update(one.id, { account_id, health_check: { rate: "high" } });
  assert.equal(reply.modified, true);
  assert.equal(reply.modified_ipsec_tunnel.health_check.rate, "high");
  assert.equal(reply.modified_ipsec_tunnel.health_check.direction, "bidirectional");
  assert.equal(reply.modified_ipsec_tunnel.description, "first");
});
step("bulk update changes all or none", async () => {
  const two = await tunnels.create(wish(2));
  const changed = await tunnels.bulkUpdate({ account_id, body: { ipsec_tunnels: [{ id: one.id, description: "a" }, { id: two.id, description: "b" }] } });
  assert.equal(changed.modified, true);
  assert.deepEqual(changed.modified_ipsec_tunnels.map((t) => t.description), ["a", "b"]);
  await fails(tunnels.bulkUpdate({ account_id, body: { ipsec_tunnels: [{ id: one.id, description: "c" }, { id: two.id, interface_address: "nonsense" }] } }),
    Cloudflare.BadRequestError, /interface_address/);
  assert.equal((await tunnels.get(one.id, { account_id })).ipsec_tunnel.description, "a");
  const gone = await tunnels.delete(two.id, { account_id });
  assert.equal(gone.deleted, true);
  assert.equal(gone.deleted_ipsec_tunnel.id, two.id);
});
step("generate a PSK", async () => {
  const made = await tunnels.pskGenerate(one.id, { account_id, body: {} });
  assert.equal(made.ipsec_tunnel_id, one.id);
  assert.match(made.psk, /^qpsk1-[A-Za-z0-9_-]{43}$/);
  assert.ok(Date.parse(made.psk_metadata.last_generated_on) > 0);
});
step("routes: create, get, list, update, bulk update", async () => {
  route = await routes.create({ account_id, prefix: "10.77.0.0/16", nexthop: "10.99.1.1", priority: 100, weight: 7 });
  assert.match(route.id, /^[0-9a-f]{32}$/);
  assert.equal((await routes.get(route.id, { account_id })).route.prefix, "10.77.0.0/16");
  const { modified_route } = await routes.update(route.id, { account_id, prefix: "10.77.0.0/16", nexthop: "10.99.1.1", priority: 50 });
  assert.equal(modified_route.priority, 50);
  const bulk = await routes.bulkUpdate({ account_id, routes: [{ id: route.id, prefix: "10.78.0.0/16", nexthop: "10.99.1.1", priority: 60 }] });
  assert.equal(bulk.modified_routes[0].prefix, "10.78.0.0/16");
  assert.equal((await routes.list({ account_id })).routes.length, 1);
});
step("captures: start, list, get, stop, download", async () => {
  const { pcaps } = cf.magicTransit;
  const wish = { account_id, system: "magic-transit", type: "simple", time_limit: 60, packet_limit: 100 };
  const begun = await pcaps.create({ ...wish, tunnel: "branch-1", filter_v1: { source_address: "10.1.2.3", destination_port: 443, protocol: 6 } });
  assert.match(begun.id, /^[0-9a-f]{32}$/);
  assert.ok(["pending", "running"].includes(begun.status), begun.status);
  assert.equal(begun.time_limit, 60);
  assert.deepEqual(begun.filter_v1, { source_address: "10.1.2.3", destination_port: 443, protocol: 6 });
  assert.ok(Date.parse(begun.submitted) > 0);
  const listed = [];
  for await (const each of pcaps.list({ account_id })) listed.push(each.id);
  assert.deepEqual(listed, [begun.id]);
  await fails(pcaps.download.get(begun.id, { account_id }), Cloudflare.ConflictError, /still runs/);
  await pcaps.stop(begun.id, { account_id });
  let state = await pcaps.get(begun.id, { account_id });
  for (let i = 0; i < 50 && state.status === "running"; ++i) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    state = await pcaps.get(begun.id, { account_id });
  }
  assert.equal(state.status, "success");
  assert.ok(Date.parse(state.stop_requested) > 0);
  assert.equal(state.packets_captured, 0);
  const file = Buffer.from(await (await pcaps.download.get(begun.id, { account_id })).arrayBuffer());
  assert.equal(file.readUInt32LE(0), 0x0a0d0d0a, "a section header of pcapng");
  assert.equal(file.readUInt32LE(4), file.length, "and no packet");
  await pcaps.stop(begun.id, { account_id });
});
step("captures: what is wrong and what is not offered", async () => {
  const { pcaps } = cf.magicTransit;
  const wish = { account_id, system: "magic-transit", type: "simple", time_limit: 60, packet_limit: 100 };
  await fails(pcaps.create({ ...wish, time_limit: 301 }), Cloudflare.BadRequestError, /time_limit = 301: .* 1 to 300/);
  await fails(pcaps.create({ ...wish, tunnel: "nobody" }), Cloudflare.BadRequestError, /tunnel = "nobody"/);
  await fails(pcaps.create({ ...wish, type: "full", colo_name: "ord02", destination_conf: "s3://bucket" }), Cloudflare.BadRequestError, /buckets are not offered/);
  await fails(pcaps.get("0".repeat(32), { account_id }), Cloudflare.NotFoundError, /no capture/);
  await fails(pcaps.download.get("0".repeat(32), { account_id }), Cloudflare.NotFoundError, /no capture/);
  await fails(pcaps.ownership.create({ account_id, destination_conf: "s3://bucket" }), Cloudflare.NotFoundError, /no bucket here/);
  await fails(pcaps.ownership.get({ account_id }), Cloudflare.NotFoundError, /no bucket here/);
  await fails(client(process.env.QANAT_READER).magicTransit.pcaps.list({ account_id }), Cloudflare.PermissionDeniedError, /scope capture/);
});
step("error classes", async () => {
  await fails(tunnels.get("0".repeat(32), { account_id }), Cloudflare.NotFoundError, /no IPsec tunnel/);
  await fails(routes.get("0".repeat(32), { account_id }), Cloudflare.NotFoundError, /route/);
  await fails(tunnels.create(wish(3, { name: "" })), Cloudflare.BadRequestError, /name/);
  await fails(tunnels.create(wish(3, { interface_address: "10.99.3.0/24" })), Cloudflare.BadRequestError, /interface_address/);
  await fails(tunnels.create(wish(3, { customer_endpoint: 12 })), Cloudflare.BadRequestError, /customer_endpoint/);
  await fails(tunnels.create(wish(3, { colour: "blue" })), Cloudflare.BadRequestError, /colour/);
  await fails(tunnels.create(wish(1)), Cloudflare.ConflictError, /branch-1/);
  await fails(routes.create({ account_id, prefix: "10.79.0.1/16", nexthop: "10.99.1.1", priority: 1 }), Cloudflare.BadRequestError, /prefix/);
  await fails(cf.magicTransit.greTunnels.list({ account_id }), Cloudflare.NotFoundError, /GRE/);
});
step("who may what", async () => {
  await fails(client("qanat_0123456789abcdef_wrong").magicTransit.ipsecTunnels.list({ account_id }), Cloudflare.AuthenticationError, /not known/);
  const reader = client(process.env.QANAT_READER);
  assert.equal((await reader.magicTransit.ipsecTunnels.list({ account_id })).ipsec_tunnels.length, 1);
  await fails(reader.magicTransit.ipsecTunnels.delete(one.id, { account_id }), Cloudflare.PermissionDeniedError, /scope write/);
});
step("a client that guesses is slowed down", async () => {
  const guess = client("qanat_0123456789abcdef_guess").magicTransit.ipsecTunnels;
  let limited;
  for (let i = 0; i < 60 && !limited; ++i)
    await guess.list({ account_id }).catch((error) => { limited = error instanceof Cloudflare.RateLimitError ? error : undefined; });
  assert.ok(limited, "nobody was told to wait");
  assert.match(limited.headers.get("retry-after"), /^\d+$/);
  // Whoever waits as told is heard again, as the SDK does by itself.
  assert.equal((await client(undefined, { maxRetries: 5 }).magicTransit.ipsecTunnels.list({ account_id })).ipsec_tunnels.length, 1);
});
step("delete", async () => {
  assert.equal((await routes.delete(route.id, { account_id })).deleted, true);
  assert.equal((await tunnels.delete(one.id, { account_id })).deleted, true);
  await fails(tunnels.delete(one.id, { account_id }), Cloudflare.NotFoundError, /no IPsec tunnel/);
  assert.deepEqual((await tunnels.list({ account_id })).ipsec_tunnels, []);
});

let failed = 0;
for (const [name, run] of steps) {
  try {
    await run();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
process.exit(failed ? 1 : 0);
