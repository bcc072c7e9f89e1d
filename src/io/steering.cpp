#include "io/steering.hpp"

#include <array>

#include <linux/filter.h>
#include <sys/socket.h>

#include "io/fd.hpp"

namespace qanat::io {

namespace {

constexpr std::uint32_t kBucketMask = 31;  // ipsec/spi.hpp

constexpr sock_filter statement(unsigned code, std::uint32_t k) {
  return sock_filter{static_cast<std::uint16_t>(code), 0, 0, k};
}
constexpr sock_filter jump(unsigned code, std::uint32_t k, std::uint8_t if_true, std::uint8_t if_false) {
  return sock_filter{static_cast<std::uint16_t>(code), if_true, if_false, k};
}

}  // namespace

Status attach_steering(int fd, unsigned workers) {
  ensure(workers > 0, "steering needs a worker");
  // The program sees the UDP payload, and answers the index in the group.
  std::array<sock_filter, 9> program{
      statement(BPF_LD | BPF_W | BPF_LEN, 0),
      jump(BPF_JMP | BPF_JGE | BPF_K, 4, 0, 6),  // shorter: control
      statement(BPF_LD | BPF_W | BPF_ABS, 0),
      jump(BPF_JMP | BPF_JEQ | BPF_K, 0, 4, 0),  // the non-ESP marker: control
      statement(BPF_ALU | BPF_AND | BPF_K, kBucketMask),
      statement(BPF_ALU | BPF_MOD | BPF_K, workers),
      statement(BPF_ALU | BPF_ADD | BPF_K, 1),
      statement(BPF_RET | BPF_A, 0),
      statement(BPF_RET | BPF_K, 0),
  };
  const sock_fprog code{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &code, sizeof code) != 0) {
    return system_failure("steering of port 4500", "SO_ATTACH_REUSEPORT_CBPF");
  }
  return {};
}

Status attach_esp_filter(const EspSocket& socket, unsigned worker, unsigned workers) {
  ensure(worker < workers, "a filter needs one of the workers");
  constexpr std::uint32_t kWhole = 0xffffffff;
  // The program sees the packet with its IPv4 header, and without its IPv6 header.
  const sock_filter header =
      socket.family() == Family::V4 ? statement(BPF_LDX | BPF_B | BPF_MSH, 0) : statement(BPF_LDX | BPF_W | BPF_IMM, 0);
  std::array<sock_filter, 11> program{
      header,
      statement(BPF_LD | BPF_W | BPF_LEN, 0),
      statement(BPF_ALU | BPF_SUB | BPF_X, 0),
      jump(BPF_JMP | BPF_JGE | BPF_K, 4, 1, 0),
      statement(BPF_RET | BPF_K, worker == 0 ? kWhole : 0),
      statement(BPF_LD | BPF_W | BPF_IND, 0),
      statement(BPF_ALU | BPF_AND | BPF_K, kBucketMask),
      statement(BPF_ALU | BPF_MOD | BPF_K, workers),
      jump(BPF_JMP | BPF_JEQ | BPF_K, worker, 0, 1),
      statement(BPF_RET | BPF_K, kWhole),
      statement(BPF_RET | BPF_K, 0),
  };
  const sock_fprog code{static_cast<unsigned short>(program.size()), program.data()};
  if (::setsockopt(socket.fd(), SOL_SOCKET, SO_ATTACH_FILTER, &code, sizeof code) != 0) {
    return system_failure("the filter of an ESP socket", "SO_ATTACH_FILTER");
  }
  return {};
}

}  // namespace qanat::io
