// PacketPath: the user-space data plane of one shard, the whole trip of every packet in and out, as a pure function of
// bytes and time. Implements ipsec::DataPlane.
//
//   commands   post()
//   inputs     handle_tun(), handle_esp(), handle_outside(), handle_too_big(), note_too_big_lost(), handle_timeout()
//   outputs    poll_event() until empty; packets leave through the PacketSink that an input is given
//   siblings   of several paths in one gateway: poll_handover(), poll_news() until empty; handle_handover(),
//              handle_news(), note_handover_lost()
//   getters    capabilities(), next_timeout(), drops()
//
// Commands have no sink: packets that a command sets free (held ones, dummies) leave with the next input, and
// next_timeout() is then already due. So after post(), look at next_timeout() again.
// Every packet in is delivered, held or counted under one name of esp/drop_reason.hpp; nothing that a peer or a host
// sends ends the process. No allocation per packet in the steady state: a packet is copied once, into the sink's slab,
// and sealed there; inbound it is opened in place, and stays there until the sink has written it. A super-packet of the
// host (esp/offload.hpp) is looked up once; each of its segments is cut straight into the slab.
// RFC 4301 5, RFC 4303 3.3 and 3.4, RFC 3948, RFC 6040; decisions: rules.md "Selectors and routes", "The outer packet".
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/bytes.hpp"
#include "base/rng.hpp"
#include "esp/drop_reason.hpp"
#include "esp/offload.hpp"
#include "ipsec/data_plane.hpp"
#include "wan/handover.hpp"
#include "wan/worker_map.hpp"

namespace qanat::wan {

// The don't-fragment bit of an outer IPv4 header. With an outer IPv6 header, Clear lets the sender fragment.
enum class DfBit : std::uint8_t { Clear, Set };

// Where packets leave. It must not call back.
class PacketSink {
 public:
  virtual ~PacketSink() = default;
  // Room for one ESP packet of `size` octets. The next call may give the same room again.
  virtual MutableByteView reserve(std::size_t size) = 0;
  // The room that was reserved last holds, in its first `size` octets, a packet that starts at the SPI and leaves. With
  // path.encapsulation == Udp it is the payload of a UDP datagram between path's ports.
  virtual void commit(const ipsec::OuterPath& path, std::uint8_t tos, DfBit df, std::size_t size) = 0;
  // A whole IPv4 or IPv6 packet for the host, which `p` describes. It lies where handle_esp() was given it and is the
  // sink's to keep there and to change until the giver takes its datagrams back.
  virtual void deliver(VrfId vrf, MutableByteView packet, const esp::InnerPacket& p) = 0;
  // What was delivered until now dies when this call returns.
  virtual void settle() = 0;
  // A whole packet for the host that dies when the call returns.
  virtual void write_tun(VrfId vrf, ByteView packet) = 0;
  // An ICMP or ICMPv6 message from one of our outer addresses, in the clear: the answer to a peer's unidirectional
  // probe. A sink without a socket for it sends nothing.
  virtual void send_outside(const IpAddress& /*local*/, const IpAddress& /*remote*/, ByteView /*icmp*/) {}
};

// A sink that sees each packet once, as views that live until the call returns.
class CopyingSink : public PacketSink {
 public:
  virtual void send_esp(const ipsec::OuterPath& path, std::uint8_t tos, DfBit df, ByteView esp) = 0;

  MutableByteView reserve(std::size_t size) final {
    if (room_.size() < size) room_.resize(size);
    return MutableByteView{room_}.first(size);
  }
  void commit(const ipsec::OuterPath& path, std::uint8_t tos, DfBit df, std::size_t size) final {
    send_esp(path, tos, df, ByteView{room_}.first(size));
  }
  void deliver(VrfId vrf, MutableByteView packet, const esp::InnerPacket&) final { write_tun(vrf, packet); }
  void settle() final {}

 private:
  Bytes room_;
};

// Somebody says that a packet of ours was larger than its path lets through.
struct OuterTooBig {
  enum class Source : std::uint8_t {
    Interface,  // our own kernel: believed
    Icmp,       // a message from outside: believed only if it quotes a live SPI and both addresses
  };
  Source source = Source::Interface;
  IpAddress local;  // unspecified when it is not known, which only our own kernel is forgiven
  IpAddress peer;
  std::optional<ipsec::EspSpi> quoted_spi;
  std::uint32_t outer_mtu = 0;
};

struct PacketPathConfig {
  std::uint32_t shard = 0;   // of our inbound SPIs, below 64
  std::uint32_t worker = 0;  // which of `workers` this is: it takes SAs of the tunnels that it owns only
  WorkerMap workers;
  ipsec::Capabilities capabilities;  // suites empty: every suite that crypto/ has
  bool hears_outside = false;        // handle_outside() is fed: unidirectional health checks can be made
  std::size_t hold_packets = 64;     // per tunnel without an SA, and per SPI without a key
  Duration hold_time = 1s;
  std::size_t hold_bytes = 16U << 20;    // over everything that is held
  std::size_t fragment_entries = 4096;   // inner datagrams whose fragments are followed
  std::uint32_t icmp_per_second = 1000;  // errors that we send, over all tunnels
  Duration learnt_mtu_time = 10min;      // then the path may have become wider
  // Directions of SAs whose keys are kept expanded, 1.1 KB each with AES-GCM; the others are expanded again when a
  // packet comes.
  std::size_t expanded_keys = 4096;
};

class PacketPath final : public ipsec::DataPlane {
 public:
  // `rng` makes CBC IVs and must outlive the path.
  PacketPath(PacketPathConfig config, Rng& rng);
  ~PacketPath() override;
  PacketPath(const PacketPath&) = delete;
  PacketPath& operator=(const PacketPath&) = delete;

  // ipsec::DataPlane. Commands take effect at once; their Done lies in poll_event() when post() returns.
  [[nodiscard]] ipsec::Capabilities capabilities() const override;
  void post(Instant now, ipsec::Command command) override;
  [[nodiscard]] std::optional<ipsec::Event> poll_event() override;

  // Packets that the host routed into the TUN of `vrf`, which are changed.
  void handle_tun(Instant now, VrfId vrf, std::span<const esp::OffloadPacket> packets, PacketSink& sink);
  // The same for whole packets.
  void handle_tun(Instant now, VrfId vrf, std::span<const ByteView> packets, PacketSink& sink);
  // Datagrams that came from arrived.peer to arrived.local, native (from the ESP header on) or as UDP payloads, and
  // with `outer_tos` in their outer header. They are opened in place: they stay where they are until the sink has
  // written what it was delivered of them, and their content is unspecified afterwards.
  void handle_esp(Instant now, const ipsec::OuterPath& arrived, std::uint8_t outer_tos,
                  std::span<const MutableByteView> datagrams, PacketSink& sink);

  // An ICMP or ICMPv6 message that came in the clear from `remote` to our outer address `local`, from its type on: the
  // answer to a unidirectional probe, or none of ours.
  void handle_outside(Instant now, const IpAddress& local, const IpAddress& remote, ByteView icmp, PacketSink& sink);

  // Lowers the MTU of the tunnels that it is about, never below 576 (an outer IPv4) or 1280 (IPv6), and for a while.
  // The lost packet's sender hears of it when it sends the next that is too long.
  void handle_too_big(Instant now, const OuterTooBig& news);
  // Packets that left through the sink and that our own interface refused as too long.
  void note_too_big_lost(std::uint64_t packets);

  // Packets of tunnels that another worker owns, for it; until empty after every input.
  struct Leaving {
    std::uint32_t worker = 0;
    Handover batch;
  };
  [[nodiscard]] std::optional<Leaving> poll_handover();
  // What another worker had for this one. The octets of `batch` are changed, and stay as those of handle_esp().
  void handle_handover(Instant now, Handover& batch, PacketSink& sink);
  // A batch of poll_handover() that its worker had no room for: counted as dropped here.
  void note_handover_lost(const Handover& batch);
  // What all siblings are to be told, behind the SetTunnel that it is about; until empty after every input.
  [[nodiscard]] std::optional<TunnelNews> poll_news();
  void handle_news(const TunnelNews& news);

  // When handle_timeout() has something to do; in the past when it has now.
  [[nodiscard]] std::optional<Instant> next_timeout() const;
  void handle_timeout(Instant now, PacketSink& sink);

  // Of the whole plane since its start.
  [[nodiscard]] const esp::DropCounters& drops() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace qanat::wan
