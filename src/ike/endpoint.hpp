// IkeEndpoint: all IKE SAs of one shard. Datagrams, commands and the packet path's events go in; actions come out.
//
// Getters: sas(), counters(), next_timeout(). Inputs: handle_datagram, handle_plane, handle_auth, handle_addresses,
// handle_crossing, handle_timeout. Commands: set_tunnel, update_tunnel, remove_tunnel, initiate, terminate. Output:
// poll_action, until empty after every call.
//
// A datagram is judged in this order, so that nothing costs before it must: header, version, SPI, cookie and limits,
// addresses, proposal, key exchange.
#pragma once

#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ike/allowance.hpp"
#include "ike/cookie.hpp"
#include "ike/half_open.hpp"
#include "ike/ike_sa.hpp"
#include "ike/tunnel_index.hpp"

namespace qanat::ike {

class IkeEndpoint final : private TunnelDirectory {
 public:
  IkeEndpoint(EndpointConfig config, Rng& rng);
  ~IkeEndpoint() override;

  // `payload` is the UDP payload, with the non-ESP marker when arrived.local is the NAT port.
  void handle_datagram(Instant now, const Path& arrived, ByteView payload);
  // What the other shards had in the making when the next datagram was handed over.
  void hear(const HalfOpenElsewhere& elsewhere) { half_open_.hear(elsewhere); }
  void handle_plane(Instant now, const ipsec::Event& event);
  // So many datagrams were dropped on their way here.
  void note_lost(std::uint64_t datagrams) { counters_.add(Counter::thread_busy, datagrams); }
  // Workers' answers to SignQuestion and VerifyQuestion actions. Late and unknown ones are ignored.
  void handle_auth(Instant now, SignAnswer answer);
  void handle_auth(Instant now, VerifyAnswer answer);
  void handle_timeout(Instant now);
  // The network says that what we sent from `local` does not reach `remote` (an outer ICMP error, which anybody can
  // forge): the peers there are asked whether they live, at most every 10 s.
  void handle_path_error(Instant now, const IpAddress& local, const IpAddress& remote);

  // The host's addresses, at the start and after every change: IKE SAs with MOBIKE move away from those that are gone.
  void handle_addresses(Instant now, HostAddresses host);

  void set_tunnel(TunnelRef tunnel) { tunnels_.set(std::move(tunnel)); }
  // The same for a tunnel that is known: its SAs follow, are renewed or deleted. A new IKE SA is the caller's to begin.
  void update_tunnel(Instant now, TunnelRef tunnel, const TunnelChange& change);
  // Deletes the tunnel's IKE SAs and forgets it.
  void remove_tunnel(Instant now, TunnelId tunnel);
  // Begins a handshake, or, when an IKE SA stands without a Child SA, makes one there. Nothing happens when a handshake
  // that we began is under way.
  [[nodiscard]] Status initiate(Instant now, TunnelId tunnel);
  // The latter alone; false: there is no such IKE SA.
  [[nodiscard]] bool complete(Instant now, TunnelId tunnel);
  // New keys for the tunnel's IKE SAs, before their time.
  void rekey(Instant now, TunnelId tunnel);
  // The same for every Child SA of the tunnel.
  void rekey_children(Instant now, TunnelId tunnel);
  // Deletes every IKE SA of the tunnel.
  void terminate(Instant now, TunnelId tunnel, const std::string& why);
  // What another shard says of the IKE SAs that it has of a tunnel.
  void handle_crossing(Instant now, const Crossing& crossing);

  [[nodiscard]] std::optional<Action> poll_action();
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  [[nodiscard]] std::vector<SaInfo> sas() const;
  [[nodiscard]] std::vector<SaInfo> sas(TunnelId tunnel) const;  // those of one tunnel, the oldest first
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t half_open() const { return half_open_.total(); }
  [[nodiscard]] const HalfOpenTable& half_open_table() const { return half_open_; }
  // Entries in all tables that live with IKE SAs: 0 when the last of them is gone, or something has leaked.
  [[nodiscard]] std::size_t holdings() const {
    return sas_.size() + init_requests_.size() + by_tunnel_.size() + timeouts_.size() + duplicates_.size() +
           half_open_.prefixes() + env_.requests.size() + env_.children.size();
  }

 private:
  using InitKey = std::array<std::uint8_t, 16>;  // the first half of a SHA-256 of source and request
  struct InitKeyHash {
    std::size_t operator()(const InitKey& key) const { return static_cast<std::size_t>(load_be64(key.data())); }
  };
  [[nodiscard]] static InitKey init_key(const Path& arrived, ByteView datagram);
  struct Entry {
    std::unique_ptr<IkeSa> sa;
    std::optional<InitKey> init_key;  // of the IKE_SA_INIT request, as responder
    std::optional<Instant> timeout;   // as it stands in timeouts_
    HalfOpenTable::Standing standing;
    bool announced = false;  // its establishment has been acted upon
    bool carries = false;    // our packets, when it was touched last
    TunnelId tunnel;         // as it stands in by_tunnel_; 0 when not
  };

  [[nodiscard]] std::vector<TunnelRef> by_identities(const IpAddress& local, const IpAddress& remote,
                                                     const wire::Identity& idi,
                                                     const wire::Identity* idr) const override {
    return tunnels_.by_identities(local, remote, idi, idr);
  }
  [[nodiscard]] TunnelRef current(TunnelId tunnel) const override { return tunnels_.find(tunnel); }
  [[nodiscard]] bool claim_first_contact(const TunnelConfig& tunnel, IkeSaId asking) override;
  [[nodiscard]] bool is_carried_beside(const IkeSa& asking) const override;
  [[nodiscard]] bool stands_beside(const IkeSa& leaving) const override;
  [[nodiscard]] IkeSaId new_sa_id() override { return IkeSaId{next_sa_++}; }
  [[nodiscard]] std::uint64_t new_spi() override;
  void adopt(std::unique_ptr<IkeSa> sa) override;
  [[nodiscard]] IkeSa* find_sa(std::uint64_t our_spi) override;
  void succeed(std::uint64_t old, std::uint64_t heir) override;
  [[nodiscard]] TunnelMemory& memory(TunnelId tunnel) override { return memories_[tunnel]; }

  void judge_datagram(Instant now, const Path& arrived, ByteView payload);
  void make_keys_ahead(Instant now);
  void handle_init_request(Instant now, const Path& arrived, ByteView datagram, wire::ClearMessage message);
  [[nodiscard]] std::optional<InitRequest> judge_init_request(Instant now, const Path& arrived, ByteView datagram,
                                                              wire::ClearMessage message);
  // Who may go on to cost us a key exchange and memory.
  struct Admission {
    bool verified = false;  // has returned a cookie
    Bytes solved;           // the cookie whose puzzle it has solved
  };
  [[nodiscard]] std::optional<Admission> admit(Instant now, const Path& arrived, const wire::ClearMessage& message);
  void answer_in_clear(const Path& arrived, const wire::IkeHeader& request, wire::Payloads payloads,
                       std::size_t more = 0);
  void answer_notify(const Path& arrived, const wire::IkeHeader& request, wire::NotifyType type, Bytes data = {});
  void handle_unknown_spi(Instant now, const Path& arrived, const wire::IkeHeader& header);
  [[nodiscard]] static bool is_trouble_notice(const wire::ClearMessage& message);
  // lost_sas.cpp: ESP for SAs that one side has lost
  void judge_unknown_spi(Instant now, const ipsec::UnknownSpi& packet);
  void tell_invalid_spi(const ipsec::UnknownSpi& packet);
  void doubt_senders(Instant now, const IpAddress& remote, ipsec::EspSpi spi);
  [[nodiscard]] bool take_invalid_spi(Instant now, const Path& arrived, const wire::IkeHeader& header,
                                      ByteView payload);
  void refuse(Instant now, const Path& arrived, std::string why);
  // Brings the indexes up to date after an IKE SA has been touched, and removes it when it is closed.
  void touch(Instant now, std::uint64_t spi);
  void remove(std::uint64_t spi);
  [[nodiscard]] static SaCard card_of(const IkeSa& sa);
  // `here`: the newcomer, when it is one of ours.
  void meet(Instant now, const SaCard& fresh, IkeSa* here);
  void doubt(Instant now, std::uint64_t spi);
  void replace(Instant now, IkeSa& loser, IkeSa& winner);
  // Another IKE SA of this shard, of that tunnel and peer, carries our packets.
  [[nodiscard]] bool is_carried_here(TunnelId tunnel, const wire::Identity& peer, std::uint64_t besides) const;
  // When no IKE SA of the tunnel carries our packets any more, those that waited for the peer's first one do.
  void let_next_carry(TunnelId tunnel);
  void note_carrying(Entry& entry);
  void handle_duplicate(Instant now, std::uint64_t spi);
  // Who of this shard is better; nullptr: nobody.
  [[nodiscard]] IkeSa* winner_over(const SaCard& loser);
  void cross(Crossing crossing);
  void close_outdated(Instant now);
  [[nodiscard]] std::vector<std::uint64_t> sas_of(TunnelId tunnel) const;
  template <typename Answer>
  void give_answer(Instant now, Answer answer);
  // The IKE SA that owns a Child SA; nullptr when it is gone.
  [[nodiscard]] IkeSa* owner_of(ChildSaId child);

  EndpointConfig config_;
  Rng& rng_;
  Counters counters_;
  std::deque<Action> actions_;
  crypto::KeyPool keys_;
  std::optional<Instant> idle_at_;  // when nothing has come until then, keys are made ahead
  Env env_;
  CookieJar cookies_;
  TunnelIndex tunnels_;
  std::vector<std::uint64_t> affected_;  // IKE SAs that another one has made or changed: to be touched with it
  std::set<TunnelId> contacted_;
  std::map<TunnelId, TunnelMemory> memories_;
  std::unordered_map<std::uint64_t, Entry> sas_;                           // by our SPI
  std::unordered_map<InitKey, std::uint64_t, InitKeyHash> init_requests_;  // -> our SPI
  std::unordered_multimap<TunnelId, std::uint64_t> by_tunnel_;             // -> our SPI
  std::set<std::pair<Instant, std::uint64_t>> timeouts_;
  // IKE SAs that lose against another of their tunnel: whoever began one deletes it; if it does not, we do.
  std::set<std::pair<Instant, std::uint64_t>> duplicates_;
  std::multimap<Instant, TunnelRef> outdated_;  // configurations whose last IKE SAs end then
  Allowance refusals_{20, 10s};
  Allowance spi_answers_{20, 1s};
  Allowance path_errors_{20, 1s};
  HalfOpenTable half_open_;
  std::uint64_t next_sa_ = 1;
};

}  // namespace qanat::ike
