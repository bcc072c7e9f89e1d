// Objects: the store of what the API has made, in state_dir, and ObjectApi over it, for several threads.
//
// Those of HTTP ask handle() and find_token(); one at a time gets in. The control thread puts file and objects together
// at the start and for a reload, and applies what follows after a write (wanted()): a file that does not fit the
// objects is refused whole, and so is an object that does not fit the file.
#pragma once

#include <memory>
#include <mutex>

#include "control/object_api.hpp"
#include "crypto/rng.hpp"
#include "io/log.hpp"
#include "io/mailbox.hpp"
#include "store/object_store.hpp"

namespace qanat::daemon {

// What ObjectApi says to a request. `test` set: a webhook is to be tested first, and the request to be asked again.
struct Handled {
  control::Reply reply;
  std::optional<control::WebhookTest> test;
};
struct AlertSources {
  control::AlertRules rules;
  std::vector<control::TunnelPlace> places;
};

using Faults = std::vector<control::Fault>;

class Objects {
 public:
  // Makes the file when it is not there; the keys are those of `file`.
  [[nodiscard]] static Result<std::unique_ptr<Objects>> open(const std::string& path, control::LoadedFile file);

  // Before any of HTTP's threads; it outlives this.
  void use_captures(control::CaptureRoom& room) { api_.use_captures(&room); }

  // --- threads of HTTP

  // nullopt: the target is none of the objects'. `snapshot` may be null.
  [[nodiscard]] std::optional<Handled> handle(const control::Request& request,
                                              std::shared_ptr<const control::Snapshot> snapshot,
                                              std::optional<control::WebhookTested> tested = {});
  [[nodiscard]] std::optional<control::Principal> find_token(std::string_view bearer);

  // --- the thread of notifications

  [[nodiscard]] Result<AlertSources> alert_rules();
  [[nodiscard]] Result<std::vector<store::Entry>> alert_entries();
  // Each group whole or not at all, in order.
  [[nodiscard]] Status write_alerts(std::span<const std::vector<store::Operation>> groups);

  // --- the control thread

  // File and objects together.
  [[nodiscard]] std::expected<model::Config, Faults> together();
  // The same with another file, which counts from now on if `apply` succeeds. Nothing is written meanwhile.
  using Apply = std::function<Status(model::Config)>;
  [[nodiscard]] std::expected<Status, Faults> reload(control::LoadedFile file, const Apply& apply);
  // What is wanted after a write. Older ones count no more.
  [[nodiscard]] int wanted_fd() const { return wanted_.fd(); }
  [[nodiscard]] std::optional<model::Config> take_wanted();

 private:
  Objects(std::unique_ptr<store::ObjectStore> store, control::LoadedFile file);

  std::mutex mutex_;
  crypto::SystemRng rng_;
  std::shared_ptr<const control::LoadedFile> file_;
  std::unique_ptr<store::ObjectStore> store_;
  control::ObjectApi api_;
  io::Mailbox<model::Config> wanted_;
};

// File and stored objects together, as far as nobody needs a key for it: what is to be protected before the daemon has
// begun. The file at `path` is there; nothing in it is changed.
[[nodiscard]] Result<model::Config> whole_without_secrets(const std::string& path, const control::LoadedFile& file);

}  // namespace qanat::daemon
