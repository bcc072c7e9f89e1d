#include "io/tun_device.hpp"

#include <cstring>

#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>

namespace qanat::io {

Result<UniqueFd> open_tun_control() {
  UniqueFd fd(::open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK));
  if (!fd.valid()) return system_failure("/dev/net/tun", "open (is the module tun loaded?)");
  return fd;
}

Result<UniqueFd> attach_tun(UniqueFd control, const std::string& name) {
  ifreq request{};
  if (name.empty() || name.size() >= sizeof request.ifr_name) {
    return fail(ErrorKind::LocalPolicy, "TUN device", "the name must have 1 to 15 characters");
  }
  std::memcpy(request.ifr_name, name.data(), name.size());
  request.ifr_flags = IFF_TUN | IFF_NO_PI;
  if (::ioctl(control.get(), TUNSETIFF, &request) != 0) {
    const int error = errno;
    return system_failure("TUN device " + name, error == EBUSY ? "another process has it" : "TUNSETIFF", error);
  }
  return control;
}

Result<TunDevice> TunDevice::adopt(UniqueFd fd, std::size_t slot_size) {
  ifreq request{};
  if (::ioctl(fd.get(), TUNGETIFF, &request) != 0) return system_failure("TUN device", "TUNGETIFF");
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) != 0) {
    return system_failure("TUN device", "O_NONBLOCK");
  }
  TunDevice out;
  out.name_ = request.ifr_name;
  out.fd_ = std::move(fd);
  out.slot_size_ = slot_size;
  out.stride_ = (slot_size + 63) / 64 * 64 + 128;  // not all slots in one cache set
  out.slab_ = std::make_unique_for_overwrite<std::uint8_t[]>(out.stride_ * kBatch);
  out.packets_.reserve(kBatch);
  return out;
}

std::span<MutableByteView> TunDevice::receive() {
  packets_.clear();
  while (packets_.size() < kBatch) {
    std::uint8_t* slot = slab_.get() + packets_.size() * stride_;
    const ssize_t size = ::read(fd_.get(), slot, slot_size_);
    if (size < 0) {
      // EIO: the device is down for the moment.
      if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) ++counters_.receive_errors;
      break;
    }
    if (size == 0) break;
    packets_.emplace_back(slot, static_cast<std::size_t>(size));
  }
  counters_.received += packets_.size();
  return packets_;
}

SendOutcome TunDevice::send(ByteView packet) {
  const ssize_t written = ::write(fd_.get(), packet.data(), packet.size());
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
