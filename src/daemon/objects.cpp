#include "daemon/objects.hpp"

#include <algorithm>
#include <set>

#include "control/tokens.hpp"
#include "crypto/digest.hpp"
#include "gateway/object_rooms.hpp"
#include "io/clock.hpp"
#include "io/sqlite_store.hpp"

namespace qanat::daemon {

namespace {

// A key as it is used: never the octets of the key file themselves, which may open a bundle as well.
std::optional<SecretBytes> at_rest_key(const model::PresharedKey& key) {
  if (key.empty()) return std::nullopt;
  const auto hash = crypto::sha256({to_bytes(std::string_view{"qanat object store"}), key.expose()});
  return SecretBytes::copy_of(hash);
}

}  // namespace

Objects::Objects(std::unique_ptr<store::ObjectStore> store, control::LoadedFile file)
    : file_(std::make_shared<const control::LoadedFile>(std::move(file))),
      store_(std::move(store)),
      api_(*store_, gateway::object_rooms()) {}

Result<std::unique_ptr<Objects>> Objects::open(const std::string& path, control::LoadedFile file) {
  static crypto::SystemRng rng;  // the store's, which outlives everything here
  const model::Gateway& gateway = file.config->gateway;
  QANAT_ASSIGN(auto store,
               io::SqliteStore::open(path, rng, at_rest_key(gateway.store_key), at_rest_key(gateway.store_key_before)));
  std::unique_ptr<Objects> out(new Objects(std::move(store), std::move(file)));
  QANAT_TRY(out->api_.load());
  return out;
}

Result<model::Config> whole_without_secrets(const std::string& path, const control::LoadedFile& file) {
  crypto::SystemRng rng;
  QANAT_ASSIGN(const auto store, io::read_without_secrets(path, rng));
  control::ObjectApi api{*store, gateway::object_rooms()};
  QANAT_TRY(api.load());
  auto whole = api.wanted_with(file);
  if (whole) return std::move(*whole);
  std::string all;
  for (const control::Fault& fault : whole.error()) all += (all.empty() ? "" : "; ") + fault.message;
  return fail(ErrorKind::LocalPolicy, path, "does not fit " + file.name + ": " + all);
}

std::optional<Handled> Objects::handle(const control::Request& request,
                                       std::shared_ptr<const control::Snapshot> snapshot,
                                       std::optional<control::WebhookTested> tested) {
  const std::lock_guard lock(mutex_);
  auto reply = api_.handle(request, {io::wall_now(), &rng_, std::move(snapshot), file_, std::move(tested)});
  // Inside the lock: the order of writes is the order of what is wanted.
  if (auto config = api_.poll_wanted()) wanted_.post(std::move(*config));
  if (!reply) return std::nullopt;
  return Handled{*std::move(reply), api_.poll_test()};
}

std::optional<control::Principal> Objects::find_token(std::string_view bearer) {
  const std::lock_guard lock(mutex_);
  return control::find_token(*store_, bearer, io::wall_now());
}

Result<AlertSources> Objects::alert_rules() {
  const std::lock_guard lock(mutex_);
  QANAT_ASSIGN(control::AlertRules rules, control::alert_rules(*store_));
  return AlertSources{std::move(rules), api_.tunnel_places()};
}

Result<std::vector<store::Entry>> Objects::alert_entries() {
  const std::lock_guard lock(mutex_);
  std::vector<store::Entry> out;
  for (const std::string_view prefix :
       {control::kAlertStatePrefix, control::kAlertQueuePrefix, control::kAlertHistoryPrefix}) {
    QANAT_ASSIGN(store::Listing part, store_->list(prefix));
    std::move(part.entries.begin(), part.entries.end(), std::back_inserter(out));
  }
  return out;
}

// As few transactions as may be: each waits for the disk.
Status Objects::write_alerts(std::span<const std::vector<store::Operation>> groups) {
  const std::lock_guard lock(mutex_);
  std::vector<store::Operation> operations;
  std::set<std::string> keys;
  const auto flush = [&]() -> Status {
    if (!operations.empty()) QANAT_TRY(store_->txn({}, operations));
    operations.clear();
    keys.clear();
    return {};
  };
  for (const auto& group : groups) {
    const bool again = std::any_of(group.begin(), group.end(), [&](const auto& o) { return keys.contains(o.key); });
    if (again || operations.size() + group.size() > store::kMaxOperations) QANAT_TRY(flush());
    for (const store::Operation& operation : group) {
      keys.insert(operation.key);
      operations.push_back(operation);
    }
  }
  return flush();
}

std::expected<model::Config, Faults> Objects::together() {
  const std::lock_guard lock(mutex_);
  return api_.wanted_with(*file_);
}

std::expected<Status, Faults> Objects::reload(control::LoadedFile file, const Apply& apply) {
  const std::lock_guard lock(mutex_);
  const auto before = std::exchange(file_, std::make_shared<const control::LoadedFile>(std::move(file)));
  auto config = api_.wanted_with(*file_);
  if (!config) {
    file_ = before;
    return std::unexpected(std::move(config.error()));
  }
  const Status applied = apply(std::move(*config));
  if (applied) {
    (void)wanted_.take_all();  // they were made with the old file, and this one has their objects
  } else {
    file_ = before;
  }
  return applied;
}

std::optional<model::Config> Objects::take_wanted() {
  auto all = wanted_.take_all();
  if (all.empty()) return std::nullopt;
  return std::move(all.back());
}

}  // namespace qanat::daemon
