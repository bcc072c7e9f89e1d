// Director: the objects of a gateway and what is wanted of them. It decides when a tunnel begins, tries again or stays
// down, what the host's routing must look like, and what everybody is told.
//
// Inputs: apply(), command(), handle_report(), handle_cannot_initiate(), handle_plane(), handle_host(),
// handle_addresses(), handle_host_networks(), handle_kernel_routes(), handle_timeout(). Output: poll(), until empty
// after every call.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <unordered_map>

#include "base/rng.hpp"
#include "config/diff.hpp"
#include "control/captures.hpp"
#include "control/snapshot.hpp"
#include "gateway/auth_service.hpp"
#include "gateway/beginnings.hpp"
#include "gateway/host_command.hpp"
#include "gateway/host_networks.hpp"
#include "gateway/kernel_routes.hpp"
#include "gateway/messages.hpp"
#include "gateway/posture_book.hpp"
#include "gateway/uptake.hpp"
#include "model/tunnel.hpp"
#include "pki/expiry.hpp"
#include "wan/policy.hpp"

namespace qanat::gateway {

using control::EventLevel;

// One line for the log, and for the ring of events; control/event_codes.hpp lists the names.
struct LogEvent {
  EventLevel level{};
  std::string name;
  std::vector<std::pair<std::string, std::string>> fields;
  std::string account = {};  // of its tunnel: the VRF's name; empty: the gateway's
};
struct HostOut {
  RequestId request;
  HostCommand command;
};
struct CommandDone {
  std::uint64_t ticket = 0;
  control::CommandResult result;
};
// What whoever serves ike::SignQuestion and ike::VerifyQuestion needs for a tunnel; null: it has no certificates.
struct CredentialsOut {
  TunnelId tunnel;
  std::shared_ptr<const AuthCredentials> credentials;
};
using DirectorOutput = std::variant<ToIkeShard, ipsec::Command, HostOut, CommandDone, CredentialsOut, LogEvent>;

class Director {
 public:
  explicit Director(Rng& rng) : rng_(rng) {}
  Director(const Director&) = delete;  // tunnels refer to its configuration
  Director& operator=(const Director&) = delete;

  // The first configuration: tunnels are made, protection is asked for, and what is to be up begins.
  [[nodiscard]] Status apply(Instant now, const model::Config& config);
  // Another one, as a difference (rules.md "What a reload does to live SAs"): tunnels that it does not touch lose
  // nothing. What needs a restart stays as it was. On an error nothing has changed.
  [[nodiscard]] Result<std::vector<config::Change>> reload(Instant now, const model::Config& config);
  [[nodiscard]] const model::Config& config() const { return config_; }
  // `ticket` comes back in one CommandDone.
  void command(Instant now, std::uint64_t ticket, const control::GatewayCommand& command);
  // An error: why the packet path was not asked. What it captures comes out of it as ipsec::CaptureChunk.
  [[nodiscard]] Status capture(const control::CaptureOrder& order);
  // `sas`: of the report's tunnel, as they are now; looked at for ChildUp and IkeUp only.
  void handle_report(Instant now, const ike::Report& report, std::span<const ike::SaInfo> sas = {});
  void handle_cannot_initiate(Instant now, const CannotInitiate& failure);
  void handle_plane(Instant now, const ipsec::Event& event);
  void handle_host(Instant now, const HostResult& result);
  // The host's addresses have changed: what could not begin may be able to now.
  void handle_addresses(Instant now);
  // All routes of the host's kernel through our TUNs, as they are now.
  void handle_host_networks(std::vector<HostNetwork> networks);
  void handle_kernel_routes(std::vector<KernelRoute> routes);
  void handle_timeout(Instant now);
  // Every tunnel says Delete; nothing begins again.
  void shut_down(Instant now);

  // The harvest ledger: see PostureBook.
  [[nodiscard]] PostureBook& posture() { return posture_; }

  // A peer has proved itself with certificates that are good until then.
  void note_peer_certificate(TunnelId tunnel, WallTime until) {
    if (TunnelState* t = find(tunnel)) t->peer_certificate_until = until;
  }

  [[nodiscard]] std::optional<DirectorOutput> poll();
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  // `sas` and `ike_counters` are of all shards. Without `wall` no certificate is said to expire.
  [[nodiscard]] control::Snapshot snapshot(Instant now, std::optional<WallTime> wall, std::span<const ike::SaInfo> sas,
                                           const control::NamedCounters& ike_counters) const;
  // Every route, with what the state of its tunnel adds to its priority; `snapshot` is of the same moment.
  [[nodiscard]] std::vector<control::RouteStatus> routes(const control::Snapshot& snapshot) const;
  [[nodiscard]] std::vector<std::pair<std::uint32_t, std::string>> vrfs() const;

 private:
  enum class Wanted : std::uint8_t { Up, OnCall, Down };
  struct TunnelState {
    TunnelId id;
    ike::TunnelRef ike;
    std::shared_ptr<const AuthCredentials> credentials;  // null: it has no certificates
    Wanted wanted = Wanted::Up;
    std::set<ChildSaId> live;       // the Child SAs that carry
    std::string reason;             // of the last failure, empty when up
    std::string outside_selectors;  // the last packet that no Child SA of a live tunnel took
    std::optional<pki::Expiry> certificates_end;
    std::optional<WallTime> peer_certificate_until;  // as the peer showed it last
    unsigned failures = 0;
    std::optional<Instant> retry_at;
    std::vector<std::uint64_t> waiting;  // tickets of `up` commands
    std::optional<Instant> wait_until;
    std::optional<Instant> due;  // the earlier of both, as it stands in due_
    bool barred = false;         // came with a reload: the barrier for its prefixes does not stand yet
    ipsec::TunnelCounters counters;
    struct {
      std::uint64_t child_rekeys = 0;
      std::uint64_t ike_rekeys = 0;
      std::uint64_t times_up = 0;
      std::uint64_t failed_attempts = 0;
      std::vector<ike::ExchangeRecord> last_failure;
    } seen;
  };
  // Its configuration stands in config_ and nowhere else: another config_, another Tunnel with the same state.
  struct Tunnel : TunnelState {
    Tunnel(const model::Tunnel& of, TunnelState state) : TunnelState(std::move(state)), config(of) {}
    const model::Tunnel& config;
  };

  // All but what its configuration says itself.
  [[nodiscard]] Result<TunnelState> make_tunnel(const model::Gateway& gateway, const model::Tunnel& config,
                                                TunnelId id) const;
  // pq = "pin" (director_pin.cpp): what the ledger knows of the peer goes into what IKE knows of the tunnel.
  [[nodiscard]] ike::TunnelRef with_pin(ike::TunnelRef tunnel) const;
  void renew_pin(Tunnel& tunnel);
  [[nodiscard]] control::CommandResult forget_pin(Instant now, Tunnel& tunnel);
  [[nodiscard]] static Wanted wanted_by(const model::Tunnel& config);
  void introduce(const Tunnel& tunnel);
  // Which packet goes where, as the packet path has it.
  struct Steering {
    std::vector<ipsec::SetRoutes> routes;  // one of a VRF, only `add`, sorted (gateway/kernel_routes.hpp)
    ipsec::SetPolicy policy;
  };
  [[nodiscard]] static Result<Steering> make_steering(const model::Config& config, const wan::FindTunnel& find);
  void steer(Steering steering);
  // Of all tunnels, as they are now.
  [[nodiscard]] FindPeer peers() const;
  void keep_barriers();
  void keep_local_prefixes();
  void add_own_networks(std::vector<control::RouteStatus>& routes) const;
  void withdraw(Instant now, Tunnel& tunnel);
  // `was`: as it was configured.
  void change(Instant now, Tunnel& tunnel, const model::Tunnel& was, TunnelState made, const ike::TunnelChange& change);
  void note_keys(Instant now, const ike::Report& report, const std::string& name, std::span<const ike::SaInfo> sas);

  void ask_for_protection();
  void ask_for_nat();
  void begin(Instant now, Tunnel& tunnel);
  void begin_next(Instant now);
  void note_begun(Instant now, TunnelId tunnel, Beginnings::End how);
  void note_times(Tunnel& tunnel);
  [[nodiscard]] control::CommandResult renew(Instant now, Tunnel& tunnel, control::GatewayCommand::Verb verb);
  void retry_later(Instant now, Tunnel& tunnel);
  void answer_waiting(Tunnel& tunnel, bool ok, const std::string& message);
  // `account`: left out where the first field names a tunnel that is there.
  void log(EventLevel level, std::string name, std::vector<std::pair<std::string, std::string>> fields,
           std::string account = {});
  [[nodiscard]] std::string account_of(VrfId vrf) const;  // the VRF's name; empty: there is none
  void note_refused(const ike::Report& report, Tunnel* t);
  [[nodiscard]] Tunnel* find(TunnelId id);
  [[nodiscard]] Tunnel* find(const std::string& name);
  void note_counters(Instant now, const ipsec::Counters& counters);
  void note_health(const ipsec::HealthChanged& change);
  void note_match(const ipsec::PolicyMatch& match);
  void ping(std::uint64_t ticket, const Tunnel& tunnel);
  void note_ping(const ipsec::Pinged& answer);
  [[nodiscard]] control::TunnelStatus tunnel_status(Instant now, const Tunnel& tunnel,
                                                    std::span<const ike::SaInfo* const> sas) const;

  Rng& rng_;
  model::Config config_;
  Steering steering_;
  std::vector<HostNetwork> networks_;  // of the host, sorted
  std::vector<Exception> exceptions_;  // made of them, as the helper makes them; it is told when to look again
  std::vector<ipsec::SetLocalPrefixes> local_prefixes_;  // likewise, as the packet path has them
  std::vector<KernelRoute> kernel_routes_;               // of the host, sorted
  std::vector<ipsec::SetRoutes> kernel_hops_;            // what is made of them
  std::vector<Barrier> barriers_;                        // likewise, as the helper was asked for them; sorted
  std::set<RequestId> barrier_requests_;                 // not answered yet
  std::optional<Instant> barriers_at_;                   // when to ask for all of them again
  std::vector<Tunnel> tunnels_;                          // in the order of the config
  std::unordered_map<TunnelId, std::size_t> by_id_;
  std::unordered_map<std::string, std::size_t> by_name_;
  std::uint32_t next_id_ = 1;  // of a tunnel; none is used twice
  std::set<std::pair<Instant, TunnelId>> due_;
  Beginnings beginnings_;
  std::vector<ipsec::SaCounters> sa_counters_;  // by Child SA
  control::NamedCounters plane_drops_;
  std::uint64_t handed_over_ = 0;
  std::vector<ipsec::PolicyCounters> policy_counters_;
  PostureBook posture_;
  Uptake uptake_;
  std::deque<DirectorOutput> outputs_;
  std::map<RequestId, std::uint64_t> host_tickets_;  // purge commands
  struct OpenPing {
    std::uint64_t ticket = 0;
    std::string tunnel;
  };
  std::map<RequestId, OpenPing> pings_;
  std::uint64_t next_request_ = (kDirectorOrigin << ike::kShardShift) + 1;
  bool protected_ = false;                       // the barrier stands
  std::optional<RequestId> protection_request_;  // asked for, not answered yet
  std::optional<Instant> protection_at_;         // when to ask again
  std::optional<RequestId> nat_request_;         // the last that was asked for, not answered yet
  std::optional<Instant> nat_at_;
  std::optional<Instant> counters_at_;
  std::optional<Instant> started_;
  bool stopping_ = false;
};

}  // namespace qanat::gateway
