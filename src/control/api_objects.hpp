// The objects of the API: a document that a client wrote (or that stands for what the file says), and the model object
// that it means. Internal to the object API.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "control/json_fields.hpp"
#include "control/object_api.hpp"
#include "control/snapshot.hpp"
#include "model/tunnel.hpp"
#include "store/object_store.hpp"

namespace qanat::control {

// What all have. `line` is set for what the configuration file owns.
struct ApiObject {
  std::string id;       // 32 hexadecimal digits
  std::string account;  // the VRF's name
  WallTime created;
  WallTime modified;
  std::string document;     // JSON text: the fields that a client sets, as it set them
  std::uint64_t order = 0;  // among what the API has made: who came first
  std::optional<unsigned> line;
};

struct ApiTunnel : ApiObject {
  static constexpr std::string_view kKind = "tunnel";
  model::Tunnel model;               // without `vrf`, `local` and `routes`, which follow from the file
  IpAddress endpoint;                // ours
  store::Secret psk;                 // of the file's tunnels: none
  std::optional<WallTime> psk_made;  // nullopt: nobody has said a key yet, and `psk` is one that nobody knows
  // The rendered object without its pq_status and the closing brace, with health_check.target as a text and as an
  // object (x-magic-new-hc-target).
  std::string text_plain;
  std::string text_target;
};

struct ApiRoute : ApiObject {
  static constexpr std::string_view kKind = "route";
  model::Route model;                // without `vrf` and `tunnel`, which follow from the next hop
  std::optional<IpAddress> nexthop;  // a peer's interface address; nullopt: of the file, by the tunnel's name
  std::string text;
};

struct ApiRule : ApiObject {
  static constexpr std::string_view kKind = "policy";
  model::PolicyRule model;  // without `vrf`
  std::string text;
};

// Objects in the order in which they were made, found by their id. A copy shares the objects.
template <typename T>
class ObjectSet {
 public:
  using Item = std::shared_ptr<const T>;
  [[nodiscard]] const std::vector<Item>& items() const { return items_; }
  [[nodiscard]] Item find(std::string_view id) const {
    const auto it = index_.find(std::string{id});
    return it == index_.end() ? nullptr : items_[it->second];
  }
  void put(Item item) {
    const auto [it, fresh] = index_.try_emplace(item->id, items_.size());
    if (fresh) {
      items_.push_back(std::move(item));
    } else {
      items_[it->second] = std::move(item);
    }
  }
  void remove(std::string_view id) {
    const auto it = index_.find(std::string{id});
    if (it == index_.end()) return;
    items_.erase(items_.begin() + static_cast<std::ptrdiff_t>(it->second));
    index_.clear();
    for (std::size_t i = 0; i < items_.size(); ++i) index_[items_[i]->id] = i;
  }
  void clear() {
    items_.clear();
    index_.clear();
  }

 private:
  std::vector<Item> items_;
  std::unordered_map<std::string, std::size_t> index_;
};

struct Objects {
  ObjectSet<ApiTunnel> tunnels;
  ObjectSet<ApiRoute> routes;
  ObjectSet<ApiRule> rules;
};

// A change of one object's document by what a client sent: fields that are there replace, null removes, the blocks
// health_check, pq and custom_remote_identities are changed field by field.
[[nodiscard]] nlohmann::json merged_document(nlohmann::json old, const nlohmann::json& change);

// Reads a document. What is wrong goes to `faults`; the result is to be used only when there is nothing.
// `pointer` stands before the fields of one element of a bulk body, "/ipsec_tunnels/3".
struct ReadContext {
  const model::Config& file;
  std::string_view account;
  std::string pointer = {};
};
[[nodiscard]] ApiTunnel read_tunnel(const nlohmann::json& document, std::string id, const ReadContext& context,
                                    ApiFaults& faults);
[[nodiscard]] ApiRoute read_route(const nlohmann::json& document, std::string id, const ReadContext& context,
                                  ApiFaults& faults);
[[nodiscard]] ApiRule read_rule(const nlohmann::json& document, std::string id, const ReadContext& context,
                                ApiFaults& faults);

// Takes the secret of a body's field `psk`, which is no part of the document, out of it. nullptr: none was sent.
[[nodiscard]] store::Secret take_psk(nlohmann::json& body, const std::string& pointer, ApiFaults& faults);
// The key and when it was said. Without a time it is a random one that lets nobody in: never an empty key.
void set_psk(ApiTunnel& tunnel, store::Secret psk, std::optional<WallTime> made);

// The documents that say what a file says, as far as Cloudflare's fields go.
[[nodiscard]] nlohmann::json tunnel_document(const model::Tunnel& tunnel, const IpAddress& endpoint);
[[nodiscard]] nlohmann::json rule_document(const model::PolicyRule& rule);
// What the file says, as the same objects.
[[nodiscard]] Objects file_objects(const LoadedFile& file);

// Fill in the texts that replies are made of; after everything else is known.
void render(ApiTunnel& tunnel, std::string_view file_name);
void render(ApiRoute& route, std::string_view file_name);
void render(ApiRule& rule, std::string_view file_name);
// Adds ,"pq_status":{...}}, the end of a tunnel's text.
void add_tunnel_tail(std::string& out, const TunnelStatus* status);

// As they stand in the store, and back. The PSK is an entry of its own.
[[nodiscard]] std::string to_stored(const ApiTunnel& tunnel);
[[nodiscard]] std::string to_stored(const ApiObject& object);
struct StoredObject {
  ApiObject object;
  std::optional<WallTime> psk_made;
};
[[nodiscard]] Result<StoredObject> object_from_stored(std::string_view key, std::string_view text);

// File and stored objects together. Faults: what does not fit.
[[nodiscard]] std::expected<model::Config, std::vector<Fault>> merged(const LoadedFile& file, const Objects& stored);
// The VRF that an account's name means; nullopt: there is none of this name.
[[nodiscard]] std::optional<VrfId> vrf_of(const model::Config& file, std::string_view account);

}  // namespace qanat::control
