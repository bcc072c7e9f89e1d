// ObjectApi: the objects that the API makes, changes and removes, in Cloudflare's shapes and our own (wan.md 4.2-4.5).
//
//   /client/v4/accounts/{account}/magic/ipsec_tunnels[/{id}[/psk_generate]]
//   /client/v4/accounts/{account}/magic/routes[/{id}]
//   /client/v4/accounts/{account}/pcaps[/{id}[/download|/stop]]
//   /client/v4/accounts/{account}/alerting/v3/policies[/{id}], .../destinations/webhooks[/{id}], .../silences[/{id}],
//       .../available_alerts, .../history      (what they lead to: alerts.hpp)
//   /v1/tokens[/{id}]   /v1/policy[/{name}]   /v1/audit   /v1/export   /v1/import
//
// An account is a VRF: its path names it by its name, or by account_id(); a gateway without [[vrf]] takes any 32
// hexadecimal digits, so that clients go on with the id that they have. What the configuration file says is shown
// beside what is stored, with stable ids, and answers 409 to whoever would change it.
//
// handle() validates whole, writes one transaction (store/bulk.hpp), and only then answers: what is acknowledged is
// kept. The configuration that follows comes out of poll_wanted(). Called by one thread at a time.
#pragma once

#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.hpp"
#include "base/time.hpp"
#include "control/alerts.hpp"
#include "control/api.hpp"
#include "control/snapshot.hpp"
#include "control/transfer.hpp"
#include "model/tunnel.hpp"
#include "store/object_store.hpp"

namespace qanat::control {

// What is wrong with a configuration as a whole.
struct Fault {
  std::string message;  // "[[tunnel]] berlin: interface: 10.0.0.0/31 overlaps ..."
  std::string hint;     // what to do; may be empty
};

// The configuration file as it was loaded last.
struct LoadedFile {
  std::shared_ptr<const model::Config> config;
  std::string name;  // "/etc/qanat/qanat.toml"
  WallTime loaded;
  std::map<std::string, unsigned> lines = {};  // of "tunnel berlin", "route 10.1.0.0/16 via berlin", "policy x"
};

// The checks over a whole configuration (config/judge.hpp). Empty: nothing is wrong.
using Judge = std::function<std::vector<Fault>(const model::Config&, const LoadedFile&)>;

// A webhook is stored when it has accepted a test message: handle() refuses with any reply and leaves poll_test(); the
// shell sends it, and asks handle() the same again with what came of it.
struct WebhookTest {
  std::string url;
  store::Secret secret;  // null: none
  std::string name;
};
struct WebhookTested {
  bool answered = false;
  std::string detail;
};

struct Situation {
  WallTime now;
  Rng* rng = nullptr;
  std::shared_ptr<const Snapshot> snapshot;  // may be null: then nothing is known of any state
  std::shared_ptr<const LoadedFile> file;    // never null
  std::optional<WebhookTested> tested = {};
};

// What config/ does and control/ cannot see; gateway/object_rooms.hpp has them.
struct Rooms {
  Judge judge;
  // The configuration as a file, and the files that it names.
  std::function<Transfer(const model::Config&)> write;
  // The way back.
  std::function<std::expected<model::Config, std::vector<Fault>>(const Transfer&)> read;
  // The keys of the file by which two tunnels of a name differ.
  std::function<std::vector<std::string>(const model::Tunnel&, const model::Tunnel&)> differences;
};

// Larger bodies are refused. The shell needs no smaller limit for the paths of this API.
inline constexpr std::size_t kMaxObjectBody = std::size_t{8} << 20;

class ObjectApi {
 public:
  ObjectApi(store::ObjectStore& store, Rooms rooms);
  ~ObjectApi();
  ObjectApi(const ObjectApi&) = delete;
  ObjectApi& operator=(const ObjectApi&) = delete;

  // Reads everything that is stored, and finishes a bulk change that a crash has interrupted. First of all calls.
  [[nodiscard]] Status load();

  // nullopt: the target is none of this API's.
  [[nodiscard]] std::optional<Reply> handle(const Request& request, const Situation& situation);
  // Who makes captures; it outlives this. Without one there are none.
  void use_captures(class CaptureRoom* room);
  // After a write: file and stored objects together. Only the last one counts.
  [[nodiscard]] std::optional<model::Config> poll_wanted();

  // After handle(): its reply does not count, a webhook is to be tested first.
  [[nodiscard]] std::optional<WebhookTest> poll_test();
  // Every tunnel of file and store; after a handle() or wanted_with().
  [[nodiscard]] std::vector<TunnelPlace> tunnel_places() const;

  // What would be in force with this file: at the start and for reloads. Faults: the stored objects do not fit it (a
  // route whose tunnel is gone, a name that is there twice); the reload is to be refused.
  [[nodiscard]] std::expected<model::Config, std::vector<Fault>> wanted_with(const LoadedFile& file);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Whether the target is of this API: for limits on bodies, before handle().
[[nodiscard]] bool is_object_target(std::string_view target);
// Whether AlertEngine's rules may have changed with it.
[[nodiscard]] bool is_alerting_target(std::string_view target);
// For a webhook that cannot be tested now.
[[nodiscard]] Reply webhook_refusal(std::string why);
// What a webhook gets when it is made or changed.
[[nodiscard]] std::string webhook_test_body(const std::string& name, WallTime now);
// 32 hexadecimal digits: what stands for a VRF's name, "default" for the one without a section.
[[nodiscard]] std::string account_id(std::string_view vrf_name);
// 32 hexadecimal digits of an object that the file owns: stable while account, kind and name are.
[[nodiscard]] std::string file_object_id(std::string_view vrf_name, std::string_view kind, std::string_view name);

}  // namespace qanat::control
