// AlertEngine: which notification goes to which webhook, and when. Pure: rules, observations and time in; what is to be
// written and what is to be sent out.
//
//   set_rules(), observe(), handle_timeout(), handle_done()    inputs
//   take_writes()   groups of operations, each to be written whole; before anything is sent
//   poll_send()     what to send now; its end comes back as handle_done()
//
// A policy and what it watches (a tunnel, a certificate) have a rank: 0 is good. What was told last is remembered over
// restarts, and a notification is one change of it:
//   - worse must hold for kHoldWorse, better for kHoldBetter, twice as long for each time within the last hour that it
//     got worse again, up to kHoldMost. Nothing new is told of what was not told to be over: flapping does not flood.
//   - each notification is written before it is sent, in one transaction with what was told; it is tried again after
//     5xx, 408, 429, time-outs and connections that fail, with growing pauses, for kGiveUp. A receiver gets it at least
//     once; the header x-qanat-notification-id is the same for each attempt.
//   - a webhook gets one after the other, in order. A full queue loses its oldest, and the history says so.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "base/time.hpp"
#include "control/snapshot.hpp"
#include "store/object_store.hpp"

namespace qanat::control {

inline constexpr Duration kHoldWorse = 10s;
inline constexpr Duration kHoldBetter = 60s;
inline constexpr Duration kHoldMost = 30min;
inline constexpr Duration kAlertGrace = 60s;  // after the start, for tunnels that have not come up yet
inline constexpr Duration kRetryFirst = 5s;
inline constexpr Duration kRetryMost = 10min;
inline constexpr std::int64_t kGiveUp = 86'400;  // seconds
inline constexpr std::size_t kMaxQueued = 100;   // of one webhook
inline constexpr std::size_t kMaxAlertHistory = 10'000;
inline constexpr std::size_t kMaxInFlight = 4;
inline constexpr std::string_view kAlertStatePrefix = "alert_state/";
inline constexpr std::string_view kAlertQueuePrefix = "alert_queue/";
inline constexpr std::string_view kAlertHistoryPrefix = "alert_history/";
inline constexpr std::string_view kWebhookResultPrefix = "webhook_result/";

enum class AlertType : std::uint8_t { TunnelHealth, ClassicalKeys, CertificateExpiry };

struct AlertPolicy {
  std::string id;
  std::string account;  // the VRF's name
  std::string name;
  std::string description;
  AlertType type{};
  std::string type_word;  // as the client wrote it: two names mean the health of tunnels
  bool enabled = true;
  std::vector<std::string> webhooks;   // ids
  std::set<std::string> tunnel_names;  // empty: all
  std::set<std::string> tunnel_ids;
  std::set<std::string> new_health;              // "healthy", "degraded", "down": what is told
  std::optional<double> slo;                     // percent of probes that must succeed; instead of the states
  std::vector<std::int64_t> days;                // before a certificate ends, falling
  std::optional<std::chrono::seconds> interval;  // tell again while it lasts
  std::vector<std::pair<WallTime, WallTime>> silences;
};
struct Webhook {
  std::string id;
  std::string account;
  std::string name;
  std::string url;
  store::Secret secret;  // null: none
};
struct AlertRules {
  std::vector<AlertPolicy> policies;
  std::map<std::string, Webhook> webhooks;
};

// As the store has them. Error: an object of it is damaged.
[[nodiscard]] Result<AlertRules> alert_rules(store::ObjectStore& store);

// A tunnel as the API names it.
struct TunnelPlace {
  std::string name;
  std::string id;
  std::string account;
};

struct Observation {
  AlertType type{};
  std::string subject = {};  // unique for its type: "own/0123..."
  std::string account = {};
  std::string tunnel = {};  // empty: the listener for HTTPS
  std::string tunnel_id = {};
  // TunnelHealth: "healthy", "degraded", "down"; ClassicalKeys: "safe", "classical"; CertificateExpiry: whose it is.
  // Empty: nothing is known, and what was told stays.
  std::string state = {};
  std::string detail = {};             // why, for people
  std::optional<double> success = {};  // percent of the last probes; only with enough of them
  WallTime until = {};                 // CertificateExpiry
  bool awaited = false;                // it has not come up since the start
};
[[nodiscard]] std::vector<Observation> observations_of(const Snapshot& snapshot, std::span<const TunnelPlace> places);

struct Moment {
  Instant at;
  WallTime wall;
};

struct AlertSend {
  std::string id;       // of the notification: x-qanat-notification-id
  std::string webhook;  // id
  std::string url;
  store::Secret secret;
  std::string body;
};
struct SendResult {
  enum class Kind : std::uint8_t { Delivered, Again, Refused } kind = Kind::Again;
  std::string detail;  // "503", "the connection timed out"
};

class AlertEngine {
 public:
  AlertEngine(Rng& rng, Moment start) : rng_(rng), start_(start) {}

  // What an earlier process has written, by key: the entries below the four prefixes above. Damaged ones are left out.
  void restore(std::span<const store::Entry> entries);
  void set_rules(Moment now, AlertRules rules);
  void observe(Moment now, std::vector<Observation> seen);
  void handle_timeout(Moment now);
  void handle_done(Moment now, const std::string& id, const SendResult& result);
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  [[nodiscard]] std::vector<std::vector<store::Operation>> take_writes() { return std::exchange(writes_, {}); }
  [[nodiscard]] std::optional<AlertSend> poll_send(Moment now);

  [[nodiscard]] const AlertStatus& status() const { return status_; }
  [[nodiscard]] bool is_idle() const { return rules_.policies.empty() && queue_.empty(); }

 private:
  struct Told {
    int rank = 0;
    std::string word;
    std::string correlation;          // of the incident under way
    std::vector<std::int64_t> begun;  // wall: when it got worse within the last hour
    std::int64_t sent = 0;            // wall: when it was told last
    // Not written: since when it is otherwise, and in which direction.
    int direction = 0;
    Instant since;
  };
  struct Level {
    int rank = 0;
    std::string word;
  };
  struct Queued {
    std::uint64_t number = 0;
    std::string id;
    std::string webhook;
    std::string account;
    std::string policy;
    std::string policy_name;
    std::string description;
    std::string type;
    std::string body;
    std::int64_t made = 0;  // wall
    unsigned attempts = 0;
    bool under_way = false;
  };

  void evaluate(Moment now);
  void judge(Moment now, const AlertPolicy& policy, const Observation& seen);
  [[nodiscard]] std::optional<Level> level_of(Moment now, const AlertPolicy& policy, const Observation& seen) const;
  void tell(Moment now, const AlertPolicy& policy, const Observation& seen, Told& told, const Level& level);
  [[nodiscard]] std::string body_of(Moment now, const AlertPolicy& policy, const Observation& seen, const Told& before,
                                    const Level& level) const;
  void enqueue(Moment now, const AlertPolicy& policy, const std::string& webhook, const std::string& body,
               std::vector<store::Operation>& group);
  void finish(Moment now, std::deque<Queued>::iterator which, const std::string& outcome, bool delivered,
              std::vector<store::Operation>& group);
  void due(Instant at) {
    if (!due_ || at < *due_) due_ = at;
  }

  Rng& rng_;
  Moment start_;
  AlertRules rules_;
  std::vector<Observation> seen_;
  std::map<std::string, Told> told_;  // by the key below kAlertStatePrefix: "{policy}/{subject}"
  std::deque<Queued> queue_;
  std::map<std::string, Instant> pause_;  // by webhook: not before
  std::uint64_t next_queued_ = 1;
  std::uint64_t next_history_ = 1;
  std::optional<Instant> due_;
  std::vector<std::vector<store::Operation>> writes_;
  AlertStatus status_;
};

}  // namespace qanat::control
