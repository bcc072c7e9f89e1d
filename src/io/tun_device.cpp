#include "io/tun_device.hpp"

#include <array>
#include <cstring>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

namespace qanat::io {

namespace {

using esp::Offload;

// Of kernel 6.2, which Debian 12's headers do not have.
constexpr unsigned kTunUso4 = 0x20;
constexpr unsigned kTunUso6 = 0x40;

// struct virtio_net_hdr, whose header no C++ compiler reads (a member of it is named "class").
struct VnetHeader {
  std::uint8_t flags = 0;
  std::uint8_t gso_type = 0;
  std::uint16_t hdr_len = 0;
  std::uint16_t gso_size = 0;
  std::uint16_t csum_start = 0;
  std::uint16_t csum_offset = 0;
};
constexpr std::uint8_t kNeedsChecksum = 1;
constexpr unsigned kGsoNone = 0;
constexpr unsigned kGsoTcp4 = 1;
constexpr unsigned kGsoTcp6 = 4;
constexpr unsigned kGsoUdp = 5;
constexpr unsigned kGsoEcn = 0x80;

constexpr std::size_t kHeader = sizeof(VnetHeader);
constexpr std::size_t kLargest = 65536 + 64;  // packet: more than any that the kernel hands over
// So small that what was read is still in the cache when it is sealed.
constexpr std::size_t kSlabSize = std::size_t{512} * 1024;
constexpr std::size_t kMaxPieces = 1024;  // UIO_MAXIOV

static_assert(kHeader == 10);

// False for a kind that nobody asked for.
bool to_offload(const VnetHeader& h, Offload& out) {
  out = {};
  out.needs_checksum = (h.flags & kNeedsChecksum) != 0;
  out.congestion_reduced = (h.gso_type & kGsoEcn) != 0;
  out.checksum_start = h.csum_start;
  out.checksum_offset = h.csum_offset;
  out.header_size = h.hdr_len;
  out.segment_size = h.gso_size;
  switch (h.gso_type & ~kGsoEcn) {
    case kGsoNone:
      out.kind = Offload::Kind::None;
      return true;
    case kGsoTcp4:
      out.kind = Offload::Kind::Tcp4;
      return true;
    case kGsoTcp6:
      out.kind = Offload::Kind::Tcp6;
      return true;
    case kGsoUdp:
      out.kind = Offload::Kind::Udp;
      return true;
    default:
      return false;
  }
}

VnetHeader to_header(const Offload& o) {
  VnetHeader h{};
  if (o.needs_checksum) {
    h.flags = kNeedsChecksum;
    h.csum_start = o.checksum_start;
    h.csum_offset = o.checksum_offset;
  }
  if (o.kind == Offload::Kind::None) return h;
  const unsigned type = o.kind == Offload::Kind::Tcp4 ? kGsoTcp4 : o.kind == Offload::Kind::Tcp6 ? kGsoTcp6 : kGsoUdp;
  h.gso_type = static_cast<std::uint8_t>(type | (o.congestion_reduced ? kGsoEcn : 0));
  h.gso_size = o.segment_size;
  h.hdr_len = o.header_size;
  return h;
}

}  // namespace

Result<UniqueFd> open_tun_control() {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return system_failure("/dev/net/tun", "open (is the module tun loaded?)");
  return fd;
}

Result<UniqueFd> attach_tun(UniqueFd control, const std::string& name, TunQueue queue) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) {
    return fail(ErrorKind::LocalPolicy, "TUN device", "the name must have 1 to 15 characters");
  }
  std::memcpy(request.ifr_name, name.data(), name.size());
  unsigned flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  if (queue != TunQueue::Only) flags |= IFF_MULTI_QUEUE;
  if (queue == TunQueue::First) flags |= IFF_TUN_EXCL;
  request.ifr_flags = static_cast<short>(flags);
  if (::ioctl(control.get(), TUNSETIFF, &request) != 0) {
    const int error = errno;
    return system_failure("TUN device " + name, error == EBUSY ? "another process has it" : "TUNSETIFF", error);
  }
  return control;
}

Result<TunDevice> TunDevice::adopt(UniqueFd fd) {
  ifreq request{};
  if (::ioctl(fd.get(), TUNGETIFF, &request) != 0) return system_failure("TUN device", "TUNGETIFF");
  if ((request.ifr_flags & IFF_VNET_HDR) == 0)
    return fail(ErrorKind::Internal, "TUN device", "it was made without IFF_VNET_HDR");
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return system_failure("TUN device", "O_NONBLOCK");
  }
  const int header_size = kHeader;
  if (::ioctl(fd.get(), TUNSETVNETHDRSZ, &header_size) != 0) return system_failure("TUN device", "TUNSETVNETHDRSZ");
  TunDevice out;
  constexpr unsigned kTcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
  out.takes_udp_ = ::ioctl(fd.get(), TUNSETOFFLOAD, kTcp | kTunUso4 | kTunUso6) == 0;
  if (!out.takes_udp_ && ::ioctl(fd.get(), TUNSETOFFLOAD, kTcp) != 0)
    return system_failure("TUN device", "TUNSETOFFLOAD");
  out.name_ = request.ifr_name;
  out.fd_ = std::move(fd);
  out.slab_ = std::make_unique_for_overwrite<std::uint8_t[]>(kSlabSize);
  out.packets_.reserve(kBatch);
  return out;
}

std::span<esp::OffloadPacket> TunDevice::receive() {
  packets_.clear();
  std::size_t at = 0;
  while (packets_.size() < kBatch && at + kHeader + kLargest <= kSlabSize) {
    std::uint8_t* slot = slab_.get() + at;
    const ssize_t size = ::read(fd_.get(), slot, kHeader + kLargest);
    if (size < 0) {
      // EIO: the device is down for the moment.
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) ++counters_.receive_errors;
      break;
    }
    if (static_cast<std::size_t>(size) <= kHeader) break;
    VnetHeader header{};
    std::memcpy(&header, slot, kHeader);
    Offload offload;
    if (!to_offload(header, offload)) {
      ++counters_.receive_errors;
      continue;
    }
    packets_.push_back({MutableByteView{slot + kHeader, static_cast<std::size_t>(size) - kHeader}, offload});
    at += (static_cast<std::size_t>(size) + 63) / 64 * 64;
  }
  counters_.received += packets_.size();
  return packets_;
}

SendOutcome TunDevice::send(ByteView packet) {
  return send(Offload{}, std::span(&packet, 1));
}

SendOutcome TunDevice::send(const Offload& offload, std::span<const ByteView> pieces) {
  ensure(pieces.size() < kMaxPieces, "too many pieces for one write");
  VnetHeader header = to_header(offload);
  std::array<iovec, kMaxPieces> iov;  // NOLINT(cppcoreguidelines-pro-type-member-init): only what is used is filled
  iov[0] = {&header, kHeader};
  // writev reads only; iovec has no const.
  for (std::size_t i = 0; i < pieces.size(); ++i)
    iov[i + 1] = {const_cast<std::uint8_t*>(pieces[i].data()), pieces[i].size()};
  const ssize_t written = ::writev(fd_.get(), iov.data(), static_cast<int>(pieces.size() + 1));
  if (written >= 0) {
    ++counters_.sent;
    return SendOutcome::Sent;
  }
  if (errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM || errno == EINTR) {
    ++counters_.send_busy;
    return SendOutcome::Busy;
  }
  ++counters_.send_refused;
  return SendOutcome::Refused;
}

}  // namespace qanat::io
