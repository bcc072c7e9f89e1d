// Reassembly of SKF fragments (RFC 7383 2.6), bounded: only fragments whose ICV has been verified come here.
#pragma once

#include <array>
#include <map>
#include <optional>

#include "base/boxed.hpp"
#include "base/time.hpp"
#include "wire/message.hpp"

namespace qanat::ike {

// Octets of plaintext of one message. An IKE SA may hold two, requests and responses apart: below 64 KiB in all. The
// larger one takes three ML-DSA-87 certificates (about 7.5 kB each) and two signatures of 4,627 octets (RFC 8784's
// NO_PPK_AUTH is a second one).
inline constexpr std::size_t kMaxReassembled = std::size_t{20} * 1024;
inline constexpr std::size_t kMaxReassembledChain = std::size_t{40} * 1024;
inline constexpr std::uint16_t kMaxTotalFragments = 128;
inline constexpr Duration kReassemblyTimeout = 30s;

enum class FragmentVerdict : std::uint8_t { Stored, Complete, Duplicate, Stale, TooLarge };

// One message at a time (the window is 1): a fragment of another Message ID begins anew.
class Reassembly {
 public:
  explicit Reassembly(std::size_t limit = kMaxReassembled) : limit_(limit) {}
  // What can be said before spending the decryption: number and total fit what is stored.
  [[nodiscard]] FragmentVerdict check(std::uint32_t message_id, const wire::EncryptedPart& part) const;
  // Stores verified plaintext. A larger total than before drops what there was (the sender has refragmented). The first
  // fragment waits for the others as long as `patience`.
  [[nodiscard]] FragmentVerdict add(Instant now, std::uint32_t message_id, const wire::EncryptedPart& part,
                                    ByteView datagram, Bytes plaintext, Duration patience = kReassemblyTimeout);

  struct Complete {
    wire::PayloadType first_inner{};
    Bytes plaintext;
    Bytes first_datagram;       // fragment 1 up to the end of its SKF header, for IntAuth
    wire::EncryptedPart first;  // of fragment 1; its body is empty
    std::uint16_t total = 0;
    std::uint32_t octets = 0;                   // of all datagrams
    std::uint32_t largest = 0;                  // of them
    std::array<std::uint8_t, 32> first_hash{};  // of the datagram of fragment 1
  };
  // After FragmentVerdict::Complete: the message; the reassembly is empty again.
  [[nodiscard]] Complete take();
  void clear();
  [[nodiscard]] bool empty() const { return !partial_; }
  [[nodiscard]] std::optional<Instant> deadline() const {
    return partial_ ? std::optional{partial_->deadline} : std::nullopt;
  }
  [[nodiscard]] std::size_t stored_octets() const { return partial_ ? partial_->octets : 0; }

 private:
  struct Partial {  // of a message that is arriving; it has one fragment at least
    std::uint32_t message_id = 0;
    std::uint16_t total = 0;
    Instant deadline;
    std::size_t octets = 0;
    std::map<std::uint16_t, Bytes> parts;
    Bytes first_datagram;
    wire::EncryptedPart first;
    std::uint32_t wire_octets = 0;
    std::uint32_t largest = 0;
    std::array<std::uint8_t, 32> first_hash{};
  };
  std::size_t limit_;
  Boxed<Partial> partial_;
};

}  // namespace qanat::ike
