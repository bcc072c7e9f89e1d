// IkeEndpoint: all IKE SAs of one shard. Datagrams, commands and the packet path's events go in; actions come out.
//
// Getters: sas(), counters(), next_timeout(). Inputs: handle_datagram, handle_plane, handle_timeout. Commands:
// set_tunnel, remove_tunnel, initiate, terminate. Output: poll_action, until empty after every call.
//
// A datagram is judged in this order, so that nothing costs before it must: header, version, SPI, cookie and limits,
// addresses, proposal, key exchange.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ike/cookie.hpp"
#include "ike/ike_sa.hpp"

namespace qanat::ike {

class IkeEndpoint final : private TunnelDirectory {
 public:
  IkeEndpoint(EndpointConfig config, Rng& rng);
  ~IkeEndpoint() override;

  // `payload` is the UDP payload, with the non-ESP marker when arrived.local is the NAT port.
  void handle_datagram(Instant now, const Path& arrived, ByteView payload);
  void handle_plane(Instant now, const ipsec::Event& event);
  void handle_timeout(Instant now);

  void set_tunnel(TunnelRef tunnel);
  // Deletes the tunnel's IKE SAs and forgets it.
  void remove_tunnel(Instant now, TunnelId tunnel);
  // Begins a handshake, or, when an IKE SA stands without a Child SA, makes one there. Nothing happens when a handshake
  // that we began is under way.
  [[nodiscard]] Status initiate(Instant now, TunnelId tunnel);
  // New keys for the tunnel's IKE SAs, before their time.
  void rekey(Instant now, TunnelId tunnel);
  // Deletes every IKE SA of the tunnel.
  void terminate(Instant now, TunnelId tunnel, const std::string& why);

  [[nodiscard]] std::optional<Action> poll_action();
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  [[nodiscard]] std::vector<SaInfo> sas() const;
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t half_open() const { return half_open_; }

 private:
  struct Entry {
    std::unique_ptr<IkeSa> sa;
    std::string init_key;            // of the IKE_SA_INIT request, as responder
    std::optional<Instant> timeout;  // as it stands in timeouts_
    bool half_open = false;
    bool unverified = false;  // half open, and no cookie was returned
    bool announced = false;   // its establishment has been acted upon
    TunnelId tunnel;          // as it stands in by_tunnel_; 0 when not
  };

  [[nodiscard]] std::vector<TunnelRef> by_addresses(const IpAddress& local, const IpAddress& remote) const override;
  [[nodiscard]] TunnelRef current(TunnelId tunnel) const override;
  [[nodiscard]] bool claim_first_contact(const TunnelConfig& tunnel, IkeSaId asking) override;
  [[nodiscard]] IkeSaId new_sa_id() override { return IkeSaId{next_sa_++}; }
  [[nodiscard]] std::uint64_t new_spi() override;
  void adopt(std::unique_ptr<IkeSa> sa) override;
  [[nodiscard]] IkeSa* find_sa(std::uint64_t our_spi) override;
  [[nodiscard]] TunnelMemory& memory(TunnelId tunnel) override { return memories_[tunnel]; }

  void handle_init_request(Instant now, const Path& arrived, ByteView datagram, wire::ClearMessage message);
  [[nodiscard]] std::optional<InitRequest> judge_init_request(Instant now, const Path& arrived, ByteView datagram,
                                                              wire::ClearMessage message);
  void answer_in_clear(const Path& arrived, const wire::IkeHeader& request, wire::NotifyPayload notify);
  void refuse(Instant now, const Path& arrived, std::string why);
  // Brings the indexes up to date after an IKE SA has been touched, and removes it when it is closed.
  void touch(Instant now, std::uint64_t spi);
  void remove(std::uint64_t spi);
  void on_established(Instant now, IkeSa& sa);
  void resolve_duplicate(Instant now, IkeSa& loser, IkeSa& winner);
  void handle_duplicate(Instant now, std::uint64_t spi);
  [[nodiscard]] std::vector<std::uint64_t> sas_of(TunnelId tunnel) const;
  // The IKE SA that owns a Child SA; nullptr when it is gone.
  [[nodiscard]] IkeSa* owner_of(ChildSaId child);

  EndpointConfig config_;
  Rng& rng_;
  Counters counters_;
  std::deque<Action> actions_;
  Env env_;
  CookieJar cookies_;
  std::map<TunnelId, TunnelRef> tunnels_;
  std::map<std::optional<IpAddress>, std::set<TunnelId>> by_peer_;
  std::vector<std::uint64_t> affected_;  // IKE SAs that another one has made or changed: to be touched with it
  std::set<TunnelId> contacted_;
  std::map<TunnelId, TunnelMemory> memories_;
  std::unordered_map<std::uint64_t, Entry> sas_;                  // by our SPI
  std::unordered_map<std::string, std::uint64_t> init_requests_;  // hash of source and request -> our SPI
  std::unordered_map<TunnelId, std::set<std::uint64_t>> by_tunnel_;
  std::set<std::pair<Instant, std::uint64_t>> timeouts_;
  // IKE SAs that lose against another of their tunnel: whoever began one deletes it; if it does not, we do.
  std::set<std::pair<Instant, std::uint64_t>> duplicates_;
  Instant refusals_since_;
  unsigned refusals_ = 0;
  std::size_t half_open_ = 0;
  std::size_t unverified_ = 0;
  std::uint64_t next_sa_ = 1;
};

}  // namespace qanat::ike
