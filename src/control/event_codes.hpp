// The events of the log: one table makes the names, the help and docs/events.md. Names are public: programs match them,
// so they are never renamed. event_codes_test.cpp reads the source and refuses a name that is not here.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qanat::control {

enum class EventLevel : std::uint8_t { Debug, Info, Warning, Error };
[[nodiscard]] constexpr std::string_view to_string(EventLevel level) {
  constexpr std::array<std::string_view, 4> kWords = {"debug", "info", "warning", "error"};
  return kWords[static_cast<std::size_t>(level)];
}

// X(name, level, help). The level is the usual one.
// clang-format off
#define QANAT_EVENTS(X)                                                                                               \
  /* A tunnel's life */                                                                                              \
  X("tunnel-up", Info, "a Child SA can carry traffic; `detail` names keys, algorithms and peer")                     \
  X("tunnel-down", Warning, "no SA of the tunnel is left; `reason` says why (info when an operator asked for it)")    \
  X("attempt-failed", Warning, "an attempt that we began ended without a tunnel; `reason` says why and what to change") \
  X("peer-answered", Warning, "an unauthenticated answer that may explain why an attempt does not progress")          \
  X("peer-refused", Warning, "we turned a peer away; `reason` says what it offered, what is accepted, and the setting") \
  X("peer-restarted", Info, "the peer was restarted and has shown it (RFC 6290): the tunnel begins anew at once")     \
  X("peer-moved", Info, "a peer's address or port changed, authenticated")                                           \
  X("selectors-refused", Warning, "the peer says that it drops packets of ours (INVALID_SELECTORS); at most once a minute for each IKE SA") \
  X("ike-up", Debug, "the peer has authenticated")                                                                   \
  X("ike-rekeyed", Debug, "the IKE SA has new keys; its Child SAs carry on")                                         \
  X("new-keys", Debug, "a further Child SA carries: the successor of one whose keys were used up, or one with other selectors") \
  X("renew", Debug, "new keys are being made before the old ones end")                                               \
  X("sa-replaced", Debug, "an IKE SA ended while another of the same tunnel carries on")                             \
  X("health-changed", Info, "probes judge the tunnel anew: `from`, `to`, a `code` and the figures behind it (warning when it got worse, debug when the tunnel itself came or went)") \
  /* How safe its keys are */                                                                                        \
  X("fell-to-classical", Warning, "a peer that once came up with hybrid keys came up with classical ones; `code` and `reason` say why") \
  X("pin-refused", Warning, "a peer that has come up hybrid before offers classical keys, and `pq = \"pin\"` refuses them; `reason` names the line to change") \
  X("pin-forgotten", Warning, "an operator let it be forgotten that a peer was ever hybrid (`qanat posture forget`)") \
  X("weakened", Warning, "the peer rekeyed the IKE SA without ML-KEM: its keys are hybrid only by those before")      \
  X("key-log-on", Warning, "`--keylog` writes every key to disk")                                                    \
  X("key-log-failed", Error, "a key could not be written to the `--keylog` folder")                                   \
  X("posture-not-kept", Warning, "the harvest ledger cannot be kept in `state_dir`: its figures begin anew at the next start") \
  X("crash-secret-missing", Warning, "the key of crash tokens (RFC 6290) cannot be kept in `state_dir`: after a crash peers notice by their liveness checks") \
  /* The host */                                                                                                     \
  X("ready", Info, "the routes and the filter against plaintext stand; tunnels begin")                               \
  X("host-refused", Error, "the helper could not change routes, rules or the filter")                                \
  X("purge", Warning, "routes and rules that keep protected traffic inside are being removed")                       \
  X("behind-nat", Info, "no interface has the configured address")                                                   \
  X("addresses-unknown", Error, "the host's addresses could not be read")                                            \
  X("kernel-routes", Info, "routes of the host's kernel to peers' interface addresses have come or gone; `added` and `removed` count them") \
  X("routes-unknown", Error, "the kernel's routes could not be read")                                                \
  X("icmp-unavailable", Warning, "no raw ICMP socket could be opened: unidirectional health checks are not measurable") \
  X("tun-unavailable", Error, "the TUN device could not be prepared")                                                \
  /* The daemon */                                                                                                   \
  X("started", Info, "sockets are open, the sandbox is entered")                                                     \
  X("start-failed", Error, "the daemon ends: something that it needs could not be made ready")                       \
  X("stopping", Info, "a signal; peers are told first, for at most 2 s")                                             \
  X("stopped", Info, "the last event of a daemon")                                                                   \
  X("reloaded", Info, "another configuration is in force; `changes` counts what is different") \
  X("reload-refused", Error, "the configuration cannot be used, and nothing was changed; one for each problem, with its place") \
  X("reload-warning", Warning, "what `qanat check` warns about") \
  X("reload-needs-restart", Warning, "`what` and `keys` were changed in the file and stay as they were until `qanatd` is restarted") \
  X("objects-not-kept", Warning, "what the API would make cannot be kept in `state_dir`: the API refuses to make anything") \
  X("objects-refused", Error, "the file and what the API has made do not fit together; one for each problem") \
  X("tunnel-removed", Info, "a reload has taken a tunnel away: its peer is told, then its routes and its barrier go") \
  X("config-reader-gone", Error, "`qanat-conf`, which reads the configuration for reloads, has ended: a reload needs a restart now") \
  X("config-reader-rights-not-dropped", Error, "`qanat-conf` ends: it could not give up what it does not need") \
  X("policy-match", Info, "a packet fits a rule with action log; at most 10 a second, `not_told` counts those between") \
  X("self-test-failed", Error, "an algorithm failed its known-answer test and is not used")                          \
  X("user-missing", Warning, "the user of `[gateway] user` does not exist; the daemon runs as uid 65534")             \
  X("memory-not-locked", Warning, "the system allows no locked memory: keys may reach swap")                         \
  X("landlock-missing", Warning, "the kernel has no Landlock: file permissions alone protect the host")              \
  X("helper-gone", Error, "`qanat-netd` has ended, and `qanatd` with it; protected traffic stays blocked")            \
  X("helper-user-missing", Debug, "the helper's user does not exist; it runs as uid 65534")                          \
  X("helper-rights-not-dropped", Error, "the helper ends: it could not give up what it does not need")               \
  X("helper-command-refused", Error, "the helper was asked for something that is not on its list, and ends")         \
  X("helper-command-failed", Warning, "the kernel refused what the helper asked of it")                              \
  X("control-loop-failed", Error, "the control thread ended, and the daemon with it")                                \
  X("data-worker-failed", Error, "the data thread ended: no packet moves")                                           \
  X("auth-worker-failed", Error, "a thread for signatures ended")                                                    \
  X("webhook-failing", Warning, "a notification could not be delivered to a webhook and is tried again; once until it succeeds or the webhook changes") \
  X("webhook-gave-up", Warning, "a notification was refused by its receiver, given up after a day, or lost from a full queue") \
  X("alerts-not-kept", Error, "what is to be notified could not be written to `state_dir`: it is not sent")
// clang-format on

struct EventInfo {
  std::string_view name;
  EventLevel level{};
  std::string_view help;
};

#define QANAT_EVENT_COUNT(name, level, help) +1
inline constexpr std::size_t kEventCount = 0 QANAT_EVENTS(QANAT_EVENT_COUNT);
#undef QANAT_EVENT_COUNT

inline constexpr std::array<EventInfo, kEventCount> kEvents = {{
#define QANAT_EVENT_INFO(name, level, help) EventInfo{name, EventLevel::level, help},
    QANAT_EVENTS(QANAT_EVENT_INFO)
#undef QANAT_EVENT_INFO
}};

}  // namespace qanat::control
