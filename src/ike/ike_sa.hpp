// IkeSa: one IKE SA from its first message to its end, in either role (RFC 7296, 7383, 9242, 9370).
//
// Getters: id(), our_spi(), info(), next_timeout(). Inputs: handle_message, handle_done, handle_timeout,
// handle_esp_activity, handle_esp_moved, handle_soft_limit, handle_hard_limit, handle_first_inbound, handle_acquire,
// handle_outside_selectors.
// Commands: initiate, respond, close, create_child. Outputs go into Env::actions, which the endpoint drains.
//
// The handshake is a variant of small states, each consumed when the next one is made. Two exchange slots stand beside
// it: our outstanding request, and the peer's last request with the response that we gave to it. Once established, what
// we ask the peer comes from a queue of tasks, one at a time; the one under way is active().
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <variant>

#include "base/boxed.hpp"
#include "base/rng.hpp"
#include "base/timer_table.hpp"
#include "crypto/key_exchange.hpp"
#include "ike/actions.hpp"
#include "ike/auth_agreement.hpp"
#include "ike/child_sa.hpp"
#include "ike/config.hpp"
#include "ike/counters.hpp"
#include "ike/create_child.hpp"
#include "ike/env.hpp"
#include "ike/key_schedule.hpp"
#include "ike/making.hpp"
#include "ike/message_rules.hpp"
#include "ike/mobike.hpp"
#include "ike/puzzle.hpp"
#include "ike/reassembly.hpp"
#include "ike/sk_codec.hpp"
#include "ike/slots.hpp"
#include "ike/states.hpp"
#include "ike/status.hpp"

namespace qanat::ike {

inline constexpr std::size_t kNonceSize = 32;  // of ours; at least half the largest PRF key (RFC 7296 2.10)

class IkeSa {
 public:
  // Begins an IKE SA: the IKE_SA_INIT request is among the actions.
  [[nodiscard]] static Result<std::unique_ptr<IkeSa>> initiate(Env& env, Instant now, IkeSaId id, std::uint64_t our_spi,
                                                               TunnelRef tunnel);
  // Answers an IKE_SA_INIT request.
  [[nodiscard]] static Result<std::unique_ptr<IkeSa>> respond(Env& env, Instant now, IkeSaId id, std::uint64_t our_spi,
                                                              const Path& path, InitRequest request);
  ~IkeSa();
  IkeSa(const IkeSa&) = delete;
  IkeSa& operator=(const IkeSa&) = delete;

  [[nodiscard]] IkeSaId id() const { return id_; }
  [[nodiscard]] std::uint64_t our_spi() const { return initiator_ ? context_.spi_i : context_.spi_r; }
  [[nodiscard]] std::uint64_t peer_spi() const { return initiator_ ? context_.spi_r : context_.spi_i; }
  [[nodiscard]] bool is_initiator() const { return initiator_; }
  [[nodiscard]] bool is_established() const;
  [[nodiscard]] bool is_half_open() const;
  [[nodiscard]] bool is_closed() const;
  [[nodiscard]] bool cookie_verified() const { return cookie_verified_; }
  [[nodiscard]] const TunnelRef& tunnel() const { return tunnel_; }  // null for a responder before IKE_AUTH
  // The newest Child SA that carries; nullopt: there is none.
  [[nodiscard]] std::optional<ChildSaId> carrying_child() const;
  // As responder beside an older IKE SA, a new one waits for the peer's first packet (rules.md "Rekey without loss").
  [[nodiscard]] bool carries_our_packets() const;
  void carry_our_packets();
  [[nodiscard]] SaInfo info() const;
  [[nodiscard]] const Path& path() const { return path_; }
  [[nodiscard]] Instant begun() const { return begun_; }
  // The handshake that it comes from, over any number of rekeys.
  struct Origin {
    std::uint64_t spi_i = 0;
    bool ours = false;  // we began it
    Instant established;
  };
  [[nodiscard]] const Origin& origin() const { return origin_; }
  [[nodiscard]] bool is_ending() const;
  [[nodiscard]] bool initial_contact_received() const { return initial_contact_received_; }
  [[nodiscard]] const wire::Identity& peer_id() const { return peer_id_; }
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  // Gives back memory that nothing needs at the moment. After every input.
  void settle();

  // `message` was parsed from `datagram` (without the marker), which is addressed to our_spi().
  void handle_message(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message);
  // The same IKE_SA_INIT request again: the same answer again.
  void repeat_init_response(const Path& arrived);
  // As initiator, another answer to IKE_SA_INIT after one was taken: it tells which of our requests that one answered.
  void handle_other_init_response(const wire::ClearMessage& message);
  void handle_done(Instant now, const ipsec::Done& done);
  // A worker's answer to one of our questions (ike/auth_task.hpp).
  void handle_auth(Instant now, SignAnswer answer);
  void handle_auth(Instant now, const VerifyAnswer& answer);
  void handle_timeout(Instant now);
  // The packet path has seen authenticated packets: liveness need not ask.
  void handle_esp_activity(Instant last_in);
  // Something unauthenticated says that the peer or the way to it is gone: it is asked, and nothing else changes
  // (RFC 7296 2.21.4).
  void hint_of_trouble(Instant now);
  // Authenticated, replay-checked ESP came from elsewhere (RFC 7296 2.23).
  void handle_esp_moved(const Endpoint& from);
  // Env::host has changed.
  void handle_addresses(Instant now);

  // The packet path says of a Child SA: its limits come near, or are reached; the peer sends on it.
  void handle_soft_limit(Instant now, ChildSaId child);
  void handle_hard_limit(Instant now, ChildSaId child);
  void handle_first_inbound(ChildSaId child);
  // The peer sends on that Child SA what its selectors do not take; `packet` is the start of one such.
  void handle_outside_selectors(Instant now, ChildSaId child, ByteView packet);
  // A packet finds no Child SA whose selectors take it.
  void handle_acquire(Instant now, const wire::TrafficSelector& local, const wire::TrafficSelector& remote);
  // Asks for a Child SA with the tunnel's selectors.
  void create_child(Instant now);
  // Those of every Child SA that carries, its first ones.
  [[nodiscard]] std::vector<SelectorPair> selectors_in_use() const;
  // This IKE SA takes the place of another: asks for Child SAs with those of its selectors that are not here yet.
  void take_over_selectors(Instant now, const std::vector<SelectorPair>& wanted);
  // Asks for new keys of the IKE SA; of its Child SAs.
  void rekey_ike(Instant now);
  void rekey_children(Instant now);

  // The tunnel is configured otherwise from now on (reload.cpp). With `rekey` its Child SAs get new keys.
  void take_config(Instant now, TunnelRef tunnel, bool rekey);
  // What of this IKE SA breaks `rules`; nullopt: nothing.
  [[nodiscard]] std::optional<std::string> breach(const TunnelConfig& rules, const TunnelChange& change) const;
  void delete_breaking_children(Instant now, const TunnelConfig& rules);

  // Ends the IKE SA with a Delete when it is established, silently otherwise. `why` goes into the report; empty: none.
  // Graceful: another SA carries on; old inbound keys stay 5 s, and the Delete lets pass what we sent before.
  enum class Ending : std::uint8_t { AtOnce, Graceful };
  void close(Instant now, std::string why, Ending ending = Ending::AtOnce);
  // The peer has shown by INITIAL_CONTACT that it no longer has this SA: no Delete is sent.
  void abandon(std::string why);
  // The peer shows the crash token that it gave us for this IKE SA; and what follows from that (crash_token.cpp).
  [[nodiscard]] bool sends_on(ipsec::EspSpi peers) const;  // a Child SA whose inbound SPI at the peer this is
  [[nodiscard]] bool is_proof_of_crash(const wire::Payloads& payloads) const;
  void discard_after_crash();

 private:
  enum class Timer : std::uint8_t {
    Retransmit,
    Handshake,
    Install,
    Worker,
    Rivals,
    Liveness,
    LivenessDeadline,
    Keepalive,
    Renew,      // the IKE SA is to be rekeyed
    RenewAnew,  // and when that has not succeeded, or reauthentication is due, made anew
    Reauth,
    Expire,
    Leave,  // another SA carries on: our Delete may follow, or our answer to the peer's
    Linger,
    Reassembly,
    Puzzle,
    OwnSpi,   // our CREATE_CHILD_SA awaits an SPI
    PeerSpi,  // the peer's does
    kCount
  };

  // A certificate chain comes to a responder in a request, to an initiator in a response: room for it is there only.
  IkeSa(Env& env, IkeSaId id, bool initiator)
      : env_(env),
        id_(id),
        initiator_(initiator),
        reassembly_{Reassembly{initiator ? kMaxReassembled : kMaxReassembledChain},
                    Reassembly{initiator ? kMaxReassembledChain : kMaxReassembled}},
        began_first_(initiator) {}

  // held.cpp
  struct HeldDatagram {
    Path arrived;
    Bytes octets;
  };
  [[nodiscard]] bool awaits_plane() const;
  [[nodiscard]] bool must_wait(const wire::IkeHeader& header) const;
  void hold(const Path& arrived, ByteView datagram);
  void take_held(Instant now);

  // ike_sa.cpp: slots, sealing and opening
  void judge_message(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message);
  void receive_request(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message);
  void receive_response(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message);
  // nullopt: dropped (counted) or stored as a fragment.
  [[nodiscard]] std::optional<Verified> open(Instant now, ByteView datagram, const wire::ClearMessage& message,
                                             Direction direction);
  // A message that is authentic and still not usable: answered, and fatal where RFC 7296 2.21 says so.
  void refuse_request(Instant now, wire::ExchangeType exchange, const Error& fault, std::uint8_t critical);
  void send_request(Instant now, wire::ExchangeType exchange, const wire::Payloads& payloads);
  void send_response(Instant now, wire::ExchangeType exchange, const wire::Payloads& payloads);
  void send_error_response(Instant now, wire::ExchangeType exchange, wire::NotifyType type, Bytes data = {});
  void transmit(const Path& path, const std::vector<Bytes>& datagrams);
  void install_keys(KeySet keys);
  void leave(Instant now);
  void to_closed();
  void on_spi_timeout(Instant now, Timer timer);
  void linger(Instant now);
  void release_spi();
  void restart_reassembly_timer();
  [[nodiscard]] RequestId new_request();
  void fail_attempt(std::string why);
  void report(Report::What what, std::string detail, ChildSaId child = {});
  [[nodiscard]] std::string peer_text() const;
  void record_request(Instant now, wire::ExchangeType exchange, std::string note, std::uint32_t octets,
                      std::uint32_t datagrams);
  void record_response(Instant now, std::uint32_t octets, std::uint32_t datagrams);
  void note_time(std::uint32_t KeyTimes::* what, std::uint32_t microseconds);
  // What `work` gives; how long it took stands with the exchange under way.
  template <typename Work>
  auto timed(std::uint32_t KeyTimes::* what, const Work& work) {
    auto [out, microseconds] = measured(env_.config.stopwatch, work);
    note_time(what, microseconds);
    return std::move(out);
  }

  // message_size.cpp: how large a datagram may be, and messages that are sent again in smaller ones
  [[nodiscard]] std::size_t largest_datagram() const;
  [[nodiscard]] std::size_t room_in(std::size_t datagram) const;
  [[nodiscard]] std::size_t max_message() const;
  [[nodiscard]] std::optional<Unsealed> keep_unsealed(const wire::IkeHeader& header, SealedMessage& sealed,
                                                      wire::Payloads clear) const;
  void cut_smaller(Unsealed& text, std::vector<Bytes>& datagrams);
  void repeat_response(Instant now, const Path& arrived);
  [[nodiscard]] bool repeats_in_smaller_fragments(ByteView datagram, const wire::ClearMessage& message);
  void note_size_of(const Verified& message);

  // handshake_initiator.cpp
  [[nodiscard]] Status send_init(Instant now, AwaitInit& state, KeId group);
  void resend_init(Instant now, AwaitInit& state);
  void on_init_response(Instant now, const Path& arrived, ByteView datagram, const wire::ClearMessage& message);
  void refuse_peer(Instant now, std::string why);
  void on_cookie(Instant now, const wire::NotifyPayload& cookie,
                 const wire::NotifyPayload* puzzle);                           // under_attack.cpp
  void note_auth_puzzle(const wire::NotifyPayload* puzzle);                    // under_attack.cpp
  [[nodiscard]] bool begin_auth_puzzle(Instant now, std::size_t rounds_done);  // under_attack.cpp
  void solve_puzzle(Instant now);                                              // under_attack.cpp
  void take_hint(Instant now, std::string text, Report::What what = Report::What::Hint);
  void on_init_notify(Instant now, const wire::NotifyPayload& notify);
  void next_initiator_step(Instant now, std::size_t rounds_done);
  void on_intermediate_response(Instant now, AwaitIntermediate state, Verified message);
  void on_spi_reserved(Instant now, const ipsec::Done& done);
  void on_auth_response(Instant now, AwaitAuth state, Verified message);

  // handshake_responder.cpp
  void on_intermediate_request(Instant now, Verified message);
  void on_auth_request(Instant now, Verified message);
  [[nodiscard]] TunnelRef select_tunnel(const wire::IdPayload& idi, const wire::IdPayload* idr) const;
  void on_responder_spi(Instant now, ReservingSpi state, const ipsec::Done& done);
  void reject_auth(Instant now, std::string why);
  void on_peer_proved(Instant now, TunnelRef tunnel, wire::Payloads message);
  void answer_auth(Instant now, const wire::Payloads& message, wire::AuthPayload ours,
                   std::vector<wire::CertPayload> certificates);

  // rivals.cpp: several answers to IKE_SA_INIT
  [[nodiscard]] Making& making() { return making_ ? *making_ : making_.emplace(); }
  [[nodiscard]] const Making& making() const;
  [[nodiscard]] const SecretBytes& sk_d() const { return sk_d_.empty() ? making().keys.sk_d : sk_d_; }
  [[nodiscard]] bool is_unconfirmed() const;
  void note_rival(const wire::ClearMessage& message);
  [[nodiscard]] bool begin_anew(Instant now);
  [[nodiscard]] bool hold_answer(Instant now, const Path& arrived, ByteView datagram,
                                 const wire::ClearMessage& message);
  void choose_answer(Instant now);

  // auth.cpp: who proves what, by PSK at once, by certificate with a worker's help
  enum class Signer : std::uint8_t { Initiator, Responder };
  [[nodiscard]] Bytes auth_octets(Signer signer, const wire::IdPayload& id, const SecretBytes& sk_p) const;
  [[nodiscard]] wire::AuthPayload psk_proof(Signer signer, const SecretBytes& sk_p) const;
  [[nodiscard]] wire::IdPayload our_id() const;
  void begin_auth(Instant now, AwaitAuth next);
  void ask_signature(Instant now, AwaitSignature state, const SecretBytes& sk_p);
  void send_auth_request(Instant now, AwaitAuth next, wire::AuthPayload ours,
                         std::vector<wire::CertPayload> certificates, Bytes without_ppk);
  [[nodiscard]] Status check_proof(const TunnelConfig& tunnel, const wire::IdPayload& id, const wire::AuthPayload& auth,
                                   const SecretBytes& sk_p);
  void ask_verdict(Instant now, AwaitVerdict state, const wire::IdPayload& id, const wire::AuthPayload& auth,
                   const SecretBytes& sk_p);
  [[nodiscard]] Result<wire::AuthPayload> choose_ppk(const TunnelConfig& tunnel, const wire::Payloads& message,
                                                     const wire::AuthPayload& auth);
  void on_worker_failed(Instant now, const std::string& why);
  void finish_auth(Instant now, const AwaitAuth& sent, const wire::Payloads& message);
  [[nodiscard]] std::string authentication_text() const;

  // children.cpp
  enum class WhoBegan : std::uint8_t { Us, Peer };
  struct ChildPlan {
    ipsec::ChosenEsp esp;
    ipsec::EspSpi spi_in = 0;
    ipsec::Selectors local_ts;
    ipsec::Selectors remote_ts;
    std::optional<ChildSaId> replaces{};
  };
  // The first Child SA, of IKE_AUTH.
  void install_child(Instant now, ChildPlan plan, wire::Payloads answer);
  ChildSa& add_child(Instant now, ChildPlan plan, ChildKeys keys, WhoBegan began, SafetyVerdict verdict);
  void on_installed(Instant now, ChildSa& child, const ipsec::Done& done);
  void on_first_installed(Instant now, ChildSa& child);
  void on_child_failed(Instant now, ChildSaId id, const std::string& why);
  void on_install_failed(Instant now, const std::string& why);
  void switch_to(ChildSa& child);
  void announce(ChildSa& child);
  void remove_outbound(ChildSa& child, std::string why);
  void remove_child(ChildSaId id, std::string why);
  void remove_children();
  void retire_child(Instant now, ChildSa& child, std::string why);
  void retire_children(Instant now);
  void delete_child(Instant now, ChildSa& child, std::string why);
  void let_successor_carry(const ChildSa& old);
  void forget_child_tasks(ChildSaId id);
  void handle_child_timeouts(Instant now);
  void on_child_timeout(Instant now, ChildSa& child);
  [[nodiscard]] std::optional<Instant> next_child_timeout() const;
  [[nodiscard]] ChildSa* find_child(ChildSaId id);
  [[nodiscard]] ChildSa* child_by_peer_spi(ipsec::EspSpi spi);
  [[nodiscard]] ipsec::OuterPath outer_path() const;

  // tasks.cpp: our requests after the handshake
  [[nodiscard]] Active& active();
  [[nodiscard]] const Active& active() const;
  void pump(Instant now);
  [[nodiscard]] bool can_start_task() const;
  void start_task(Instant now, QueuedTask task);
  void on_task_response(Instant now, const Verified& message);
  void on_child_deleted(Instant now, ChildSaId id);
  void put_off(Instant now, QueuedTask task);
  void drop_tasks();

  // own_child.cpp: our CREATE_CHILD_SA
  void begin_own_child(Instant now, QueuedTask task, std::optional<ChildSaId> old);
  void on_own_spi(Instant now, const ipsec::Done& done);
  void send_own_create(Instant now, OwnChild& own);
  void on_own_response(Instant now, OwnChild own, const Verified& message);
  void on_own_refused(Instant now, OwnChild own, const wire::NotifyPayload& error);
  void on_own_created(Instant now, OwnChild own, const Verified& message);
  void on_own_followup(Instant now, OwnChild own, const Verified& message);
  void next_own_step(Instant now, OwnChild own, const wire::Payloads& payloads);
  void on_own_installed(Instant now, ChildSa& child);
  void on_own_install_failed(Instant now, const std::string& why);
  void end_own(Instant now, OwnChild own, bool again);
  void undo_own(Instant now, OwnChild own, const std::string& why);

  // peer_child.cpp: the peer's
  void on_create_child_request(Instant now, const Verified& message);
  void on_followup_request(Instant now, const Verified& message);
  void refuse_create(Instant now, wire::ExchangeType exchange, wire::NotifyType type, Counter counter, std::string why,
                     Bytes data = {});
  void refuse_bad_ke(Instant now, wire::ExchangeType exchange, const std::string& why);
  void on_peer_spi(Instant now, const ipsec::Done& done);
  void next_peer_step(Instant now, PeerChild peer);
  void on_peer_installed(Instant now, ChildSa& child);
  void on_peer_install_failed(Instant now, const std::string& why);
  [[nodiscard]] bool peer_rekeys(ChildSaId child) const;
  [[nodiscard]] bool peer_rekeys_ike() const;
  void release_parked(const Parked& parked);
  void drop_parked(Instant now);
  [[nodiscard]] SafetyVerdict child_verdict(const KeRounds& rounds) const;

  // own_ike.cpp, peer_ike.cpp, heir.cpp: the rekey of the IKE SA
  struct HeirPlan {
    WhoBegan began{};
    std::uint64_t our_spi = 0;
    std::uint64_t peer_spi = 0;
    ipsec::ChosenIke chosen;
    Bytes nonce_i;
    Bytes nonce_r;
    const KeRounds* rounds = nullptr;
  };
  void begin_own_ike(Instant now, QueuedTask task);
  void send_own_ike(Instant now, OwnIke own);
  void on_own_ike_response(Instant now, OwnIke own, const Verified& message);
  void end_own_ike(Instant now, OwnIke own, bool again);
  void lose_own_ike(Instant now, OwnIke own);
  void undo_own_ike(Instant now, OwnIke own, const Verified& message);
  [[nodiscard]] bool take_ike_answer(OwnIke& own, const Verified& message);
  [[nodiscard]] Status take_ike_secret(OwnIke& own, const Verified& message);
  void on_rekey_ike_request(Instant now, const Verified& message);
  void on_ike_followup(Instant now, PeerIke peer, const wire::KePayload* ke);
  void next_peer_ike_step(Instant now, PeerIke peer, wire::Payloads answer);
  IkeSa& make_heir(Instant now, HeirPlan plan);
  void bequeath(Instant now, IkeSa& heir);
  void claim_inheritance(Instant now);
  void become_superseded(Instant now);
  void delete_superseded(Instant now);
  [[nodiscard]] SafetyVerdict rekeyed_verdict(const KeRounds& rounds) const;

  // crash_token.cpp
  [[nodiscard]] std::optional<wire::NotifyPayload> our_crash_token() const;
  void note_crash_token(wire::ExchangeType exchange, const wire::Payloads& payloads);

  // established.cpp
  void become_established(Instant now);
  void forget_handshake();
  void start_timers(Instant now);
  void on_informational_request(Instant now, Verified message);
  void on_deleting_response(Instant now, const Verified& message);
  void on_delete_children(Instant now, const std::vector<ipsec::EspSpi>& theirs, std::vector<std::uint32_t>& ours);
  void note_unknown_delete(ipsec::EspSpi spi);
  void note_invalid_selectors(Instant now, const wire::Payloads& payloads);
  void peer_alive(Instant now);
  void check_liveness(Instant now);
  [[nodiscard]] Instant liveness_deadline() const;
  void follow_peer(const Path& arrived);

  // mobike.cpp
  [[nodiscard]] static Result<Path> first_path(const TunnelConfig& tunnel, const Env& env);
  [[nodiscard]] bool is_attempt() const;
  [[nodiscard]] std::vector<IpAddress> additional_addresses() const;
  void append_addresses(wire::Payloads& payloads) const;
  [[nodiscard]] wire::Payloads mobike_offer() const;
  void note_mobike(const wire::Payloads& payloads);
  void note_addresses(const wire::Payloads& payloads, const Path& arrived);
  [[nodiscard]] std::optional<IpAddress> local_for(const IpAddress& remote) const;
  [[nodiscard]] std::vector<Path> other_paths() const;
  void change_path(Path path, std::string what);
  void move_to(Instant now, const Path& path);
  void settle_path(const wire::Payloads& payloads, const Path& path, std::string what);
  void probe_paths();
  void start_address_task(Instant now, AddressExchange::What what);
  void on_address_response(Instant now, const AddressExchange& asked, const Verified& message);
  void on_liveness_response(Instant now, const Verified& message);
  void on_refused_path(Instant now, const AddressExchange& asked);
  [[nodiscard]] wire::Payloads answer_mobike(Instant now, const Verified& message);
  void inherit_path(IkeSa& heir) const;

  // features.cpp
  void detect_nat(const wire::Payloads& payloads, const wire::IkeHeader& header, const Path& arrived);
  [[nodiscard]] wire::Payloads nat_notifies(const Path& path, std::uint64_t spi_i, std::uint64_t spi_r,
                                            bool force_encap) const;
  void note_peer_features(const wire::Payloads& payloads, const wire::IkeHeader& header, const Path& arrived);
  struct Features {
    bool force_encap = false;
    bool intermediate = false;
    bool fragmentation = false;
  };
  [[nodiscard]] wire::Payloads feature_notifies(const Path& path, std::uint64_t spi_i, std::uint64_t spi_r,
                                                Features features) const;
  void set_verdict();
  // pq = "pin", a peer that has come up hybrid before, and the handshake had no ML-KEM.
  [[nodiscard]] bool breaks_pin(const TunnelConfig& tunnel) const;
  // What takes the place of keys with this verdict needs ML-KEM (rules.md "How safe an SA is").
  [[nodiscard]] bool keeps_ml_kem(const SafetyVerdict& before) const;
  // A Child SA of these rounds would be classical, and may not be.
  [[nodiscard]] bool loses_ml_kem(const ipsec::ChosenEsp& chosen, const ChildSa* old) const;

  Env& env_;
  IkeSaId id_;
  bool initiator_;
  bool cookie_verified_ = false;
  TunnelRef tunnel_;
  std::size_t smallest_fragment_ = 0;  // responder, while it does not know its tunnel: suits all that it may mean
  Path path_;
  State state_ = Closed{};
  TimerTable<Timer> timers_;
  KeyContext context_;
  std::optional<ipsec::ChosenIke> chosen_;
  std::vector<KeId> key_exchanges_;
  SecretBytes sk_d_;  // once established; makes all keys that are to come
  unsigned generation_ = 0;
  std::optional<SkSealer> sealer_;
  std::optional<crypto::SkCipher> opener_;
  Boxed<SkSealer> previous_sealer_;  // of the generation before: for the last response, should it be repeated
  Boxed<crypto::SkCipher> previous_opener_;
  Boxed<Making> making_;                  // making()
  std::array<Reassembly, 2> reassembly_;  // of requests, of responses: both may be on their way with one Message ID
  Boxed<Outstanding> outstanding_;
  std::uint32_t next_message_id_ = 0;
  PeerSlot peer_slot_;
  Boxed<std::deque<HeldDatagram>> held_;
  bool was_established_ = false;
  bool authenticated_ = false;  // the peer's AUTH was verified: the only door to a Child SA
  AuthAgreement agreed_;
  ipsec::EspSpi reserved_spi_ = 0;  // inbound, not yet installed
  bool peer_fragments_ = false;
  std::size_t path_size_ = 0;  // octets of an IP datagram, when less gets through than is configured; 0: not known
  bool peer_intermediate_ = false;
  bool nat_local_ = false;
  bool nat_remote_ = false;
  bool began_first_;  // we began the first of a series of IKE SAs that rekeys have made: RFC 4555's initiator
  Mobike mobike_;
  wire::Identity peer_id_;
  Bytes peer_token_;  // its crash token for this IKE SA (RFC 6290); empty: it has given none
  SafetyVerdict verdict_;
  std::shared_ptr<const std::string> offered_;  // responder: the peer's proposals
  std::vector<ExchangeRecord> handshake_;
  ChildSas children_;
  TaskQueue tasks_;
  Boxed<Active> task_;           // active()
  std::uint64_t rival_of_ = 0;   // our SPI of the IKE SA that the peer's rekey made this from, while ours is open
  Boxed<PeerChild> peer_child_;  // its request is being worked on
  std::vector<Parked> parked_;
  bool rekey_again_ = false;             // the Child SA that is being made was asked for on terms of the past
  bool more_selectors_ = false;          // ADDITIONAL_TS_POSSIBLE came
  std::optional<Instant> next_acquire_;  // packets ask for Child SAs no sooner
  bool initial_contact_received_ = false;
  Instant begun_;
  Instant since_;
  Origin origin_;
  Instant last_heard_;
  Duration patience_ = 30s;            // responder: with a peer that has not authenticated yet
  std::optional<Puzzle> auth_puzzle_;  // initiator: to be solved before IKE_AUTH
  Instant next_trouble_;               // hints before this are ignored
  Instant next_selectors_notice_;      // INVALID_SELECTORS is sent no sooner
  Instant next_selectors_report_;      // and the peer's reported no sooner
  std::uint32_t auth_message_id_ = 0;
};

}  // namespace qanat::ike
