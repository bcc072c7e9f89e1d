// World: two IkeEndpoints, A (192.0.2.1) and B (198.51.100.2), each with a recording packet path, and the datagrams in
// flight between them. Nothing moves but by the caller's hand; time is virtual and randomness is seeded.
//
// Set `a.tunnel`, `a.config`, `plane` modes, ... first; the endpoints are made by open(), which begin() calls.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "exchange/fake_auth.hpp"
#include "ike/endpoint.hpp"

namespace qanat::exchange {

// A packet path that does as it is told and remembers it.
class FakePlane final : public ipsec::DataPlane {
 public:
  enum class Answer { AtOnce, Later, Never, Refuse };
  Answer reserve = Answer::AtOnce;
  Answer inbound_answer = Answer::AtOnce;
  Answer outbound_answer = Answer::AtOnce;

  [[nodiscard]] ipsec::Capabilities capabilities() const override { return {}; }
  void post(Instant now, ipsec::Command command) override;
  [[nodiscard]] std::optional<ipsec::Event> poll_event() override;
  void give_late_answers();

  std::map<ChildSaId, ipsec::SaDirection> inbound;
  std::map<ChildSaId, ipsec::SaDirection> outbound;
  std::set<ipsec::EspSpi> reserved;  // and not yet installed
  std::optional<ChildSaId> current;  // what the tunnel's traffic uses: the front of `carrying`
  std::vector<ChildSaId> carrying;   // every outbound SA that was switched to, the newest first
  std::vector<ChildSaId> dummies;    // SendDummy commands ever seen
  unsigned installs = 0;             // InstallInbound and InstallOutbound commands ever seen
  std::vector<ipsec::UpdatePeer> moves;
  ipsec::EspSpi next_spi = 0x1001;

 private:
  void answer(Answer how, ipsec::Done done, const char* what);
  std::deque<ipsec::Event> events_;
  std::deque<ipsec::Event> late_;
};

struct Side {
  explicit Side(std::uint64_t seed, IpAddress address_, ipsec::EspSpi first_spi) : rng(seed), address(address_) {
    plane.next_spi = first_spi;
  }
  [[nodiscard]] bool has(ike::Report::What what, std::string_view text = {}) const;
  [[nodiscard]] std::string said() const;  // all reports, for a failing test
  [[nodiscard]] std::uint64_t count(ike::Counter c) const { return endpoint->counters()[c]; }
  [[nodiscard]] std::vector<ike::SaInfo> established() const;
  // The only established IKE SA; a failed handshake throws, so that a test ends there.
  [[nodiscard]] ike::SaInfo sa() const;
  // The Child SAs that carry, and the only one of them (throws likewise).
  [[nodiscard]] std::vector<ike::ChildInfo> live_children() const;
  [[nodiscard]] ike::ChildInfo child() const;
  [[nodiscard]] std::size_t keys_made() const { return keys.size(); }

  std::string name;
  SeededRng rng;
  IpAddress address;
  ike::EndpointConfig config;
  ike::TunnelConfig tunnel;
  std::unique_ptr<ike::IkeEndpoint> endpoint;
  FakePlane plane;
  FakeAuth auth;
  std::vector<ike::Report> reports;
  std::vector<ike::KeyLog> keys;
  std::vector<ike::EspKeyLog> esp_keys;
};

struct Flight {
  char from = 'A';
  ike::Path path;  // as the sender sees it
  Bytes bytes;     // UDP payload
};

// What a datagram is, as far as the keys that its sender has logged allow.
struct Seen {
  wire::ClearMessage message;  // its views point into `ike`
  Bytes ike;                   // without the non-ESP marker
  wire::Payloads payloads;     // inner ones when it could be opened, else those in the clear
  bool opened = false;
};

class World {
 public:
  explicit World(std::uint64_t seed = 1);

  Side a;
  Side b;
  Instant now = Instant::from_ns(1'000'000'000);
  std::deque<Flight> wire;
  std::vector<Flight> sent;                     // everything that ever left, in order
  std::function<ike::Path(const Flight&)> nat;  // the receiver's view; default: the mirror image

  std::function<void(Flight&)> meddle;  // somebody on the way: changes what is delivered

  [[nodiscard]] Side& side(char name) { return name == 'A' ? a : b; }
  void open();
  void begin(char who = 'A');  // opens, and that side's tunnel is initiated
  void drain();                // actions and packet path's answers, until both are silent

  void deliver(std::size_t index = 0);
  void deliver_copy(std::size_t index = 0);
  void drop(std::size_t index = 0);
  void arrive(char at, const ike::Path& arrived, ByteView payload);  // from nowhere
  void arrive(const Flight& flight);                                 // again, or changed
  void run();                                                        // delivers until the wire is empty
  void advance(Duration by);                                         // time passes, timers fire; the wire waits
  void run_for(Duration by);                                         // both
  void handshake(char who = 'A') {
    begin(who);
    run();
  }

  [[nodiscard]] Seen look(const Flight& flight) const;
  // "A->B IKE_AUTH request 1", with " 2/3" for a fragment.
  [[nodiscard]] std::string name_of(const Flight& flight) const;

  // Seals a plaintext of the caller's making with the newest keys (or the generation given) of the IKE SA `spi_i`.
  struct Sealing {
    wire::ExchangeType exchange = wire::ExchangeType::INFORMATIONAL;
    bool response = false;
    std::uint32_t message_id = 0;
    wire::PayloadType first = wire::PayloadType::None;
    Bytes plaintext;
    std::uint16_t fragment = 0;  // with `total`: SKF
    std::uint16_t total = 0;
    bool break_icv = false;
    std::optional<std::uint8_t> pad_length;
    wire::Payloads clear;  // in front of the encrypted payload
  };
  [[nodiscard]] Flight sealed(char from, const Sealing& what) const;
  [[nodiscard]] Flight sealed(char from, wire::ExchangeType exchange, std::uint32_t message_id,
                              const wire::Payloads& payloads, bool response = false) const;
  [[nodiscard]] Flight clear(char from, const wire::IkeHeader& header, const wire::Payloads& payloads) const;
  // The IKE SA's initiator, SPIs and path as logged and seen last.
  [[nodiscard]] const ike::KeyLog& newest_keys() const;

 private:
  void drain(Side& side);
  [[nodiscard]] ike::Path mirrored(const Flight& flight) const;
  bool opened_ = false;
};

[[nodiscard]] ipsec::IkeProposal ike_proposal(std::string_view text);
[[nodiscard]] ipsec::EspProposal esp_proposal(std::string_view text);
// That side proves itself by certificate, the other wants one.
void use_certificate(Side& side, Side& other);
[[nodiscard]] wire::NotifyPayload notify(wire::NotifyType type, Bytes data = {});

}  // namespace qanat::exchange
