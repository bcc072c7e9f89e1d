#include "io/netd_protocol.hpp"

#include <algorithm>
#include <utility>

namespace qanat::io {

namespace {

enum class Verb : std::uint8_t {
  OpenUdp = 1,
  OpenEsp,
  OpenTun,
  SetProtection,
  PurgeProtection,
  SetNat,
  ChangeBarriers
};

constexpr std::size_t kFrameHeader = 12;
constexpr std::size_t kMaxText = 4096;  // of an answer
constexpr const char* kWhere = "helper command";

std::unexpected<Error> malformed(const char* what) {
  return fail(ErrorKind::Malformed, kWhere, what);
}

// --- addresses: family:u8 (4 or 6) | octets

void put(ByteWriter& out, const IpAddress& address) {
  out.u8(address.is_v4() ? 4 : 6);
  out.bytes(address.bytes());
}

Result<IpAddress> take_address(ByteReader& in) {
  QANAT_ASSIGN(const std::uint8_t family, in.u8("address family"));
  if (family != 4 && family != 6) return malformed("the address family is neither 4 nor 6");
  QANAT_ASSIGN(const ByteView octets, in.take(family == 4 ? 4 : 16, "address"));
  return IpAddress::from_bytes(octets);
}

void put(ByteWriter& out, const Prefix& prefix) {
  put(out, prefix.address());
  out.u8(static_cast<std::uint8_t>(prefix.length()));
}

Result<Prefix> take_prefix(ByteReader& in) {
  QANAT_ASSIGN(const IpAddress address, take_address(in));
  QANAT_ASSIGN(const std::uint8_t length, in.u8("prefix length"));
  if (length > address.bits()) return malformed("the prefix is longer than its address");
  const Prefix prefix = Prefix::masked(address, length);
  if (prefix.address() != address) return malformed("the prefix has host bits");
  return prefix;
}

void put(ByteWriter& out, const std::string& text, std::size_t limit) {
  const std::size_t size = std::min(text.size(), limit);
  out.u16(static_cast<std::uint16_t>(size));
  out.bytes(ByteView{reinterpret_cast<const std::uint8_t*>(text.data()), size});
}

Result<std::string> take_text(ByteReader& in, std::size_t limit) {
  QANAT_ASSIGN(const std::uint16_t size, in.u16("text length"));
  if (size > limit) return malformed("a text is too long");
  QANAT_ASSIGN(const ByteView octets, in.take(size, "text"));
  return std::string(octets.begin(), octets.end());
}

void put(ByteWriter& out, const std::vector<Prefix>& prefixes) {
  out.u32(static_cast<std::uint32_t>(prefixes.size()));
  for (const Prefix& prefix : prefixes) put(out, prefix);
}

Result<std::vector<Prefix>> take_prefixes(ByteReader& in) {
  QANAT_ASSIGN(const std::uint32_t count, in.u32("number of prefixes"));
  if (count > kMaxPrefixes) return malformed("there are too many prefixes");
  if (in.remaining() < std::size_t{count} * 6) return malformed("there are fewer prefixes than announced");
  std::vector<Prefix> out;
  out.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    QANAT_ASSIGN(const Prefix prefix, take_prefix(in));
    out.push_back(prefix);
  }
  return out;
}

void put(ByteWriter& out, const std::vector<std::string>& names) {
  out.u16(static_cast<std::uint16_t>(names.size()));
  for (const std::string& name : names) put(out, name, kMaxText);
}

Result<std::vector<std::string>> take_names(ByteReader& in) {
  QANAT_ASSIGN(const std::uint16_t count, in.u16("number of names"));
  if (in.remaining() < std::size_t{count} * 2) return malformed("there are fewer names than announced");
  std::vector<std::string> out;
  for (std::uint16_t i = 0; i < count; ++i) {
    QANAT_ASSIGN(std::string name, take_text(in, kMaxText));
    out.push_back(std::move(name));
  }
  return out;
}

// --- commands

struct Encoder {
  ByteWriter& out;
  Verb operator()(const OpenUdp& c) const {
    put(out, c.local.address);
    out.u16(c.local.port);
    out.u32(c.mark);
    out.u8(c.reuse_port == ReusePort::Yes ? 1 : 0);
    return Verb::OpenUdp;
  }
  Verb operator()(const OpenEsp& c) const {
    out.u8(c.family == Family::V4 ? 4 : 6);
    out.u32(c.mark);
    return Verb::OpenEsp;
  }
  Verb operator()(const OpenTun& c) const {
    put(out, c.name, kMaxText);
    out.u16(c.mtu);
    out.u8(static_cast<std::uint8_t>(c.queue));
    return Verb::OpenTun;
  }
  Verb operator()(const gateway::SetProtection& c) const {
    put(out, c.tun, kMaxText);
    out.u32(c.route_table);
    out.u32(c.fwmark);
    out.u16(c.tun_mtu);
    put(out, c.prefixes);
    out.u16(static_cast<std::uint16_t>(c.accounts.size()));
    for (const gateway::AccountProtection& a : c.accounts) {
      out.u32(a.vrf.value());
      put(out, a.tun, kMaxText);
      out.u32(a.route_table);
      out.u16(a.tun_mtu);
      put(out, a.prefixes);
      put(out, a.interfaces);
    }
    return Verb::SetProtection;
  }
  Verb operator()(const gateway::PurgeProtection& c) const {
    out.u32(c.route_table);
    out.u32(c.fwmark);
    return Verb::PurgeProtection;
  }
  Verb operator()(const gateway::SetNat& c) const {
    out.u16(static_cast<std::uint16_t>(c.rules.size()));
    for (const gateway::NatRule& rule : c.rules) {
      put(out, rule.in);
      put(out, rule.sources);
      put(out, rule.out_interface, kMaxText);
      out.u8(rule.translate ? 1 : 0);
      if (rule.translate) put(out, *rule.translate);
    }
    return Verb::SetNat;
  }
  Verb operator()(const gateway::ChangeBarriers& c) const {
    for (const auto* list : {&c.add, &c.remove}) {
      out.u32(static_cast<std::uint32_t>(list->size()));
      for (const gateway::Barrier& barrier : *list) {
        out.u32(barrier.table);
        out.u32(barrier.vrf.value());
        put(out, barrier.prefix);
      }
    }
    return Verb::ChangeBarriers;
  }
};

Result<NetdCommand> take_open_udp(ByteReader& in) {
  OpenUdp c;
  QANAT_ASSIGN(c.local.address, take_address(in));
  QANAT_ASSIGN(c.local.port, in.u16("port"));
  QANAT_ASSIGN(c.mark, in.u32("mark"));
  QANAT_ASSIGN(const std::uint8_t reuse, in.u8("reuse port"));
  if (reuse > 1) return malformed("a flag is neither 0 nor 1");
  c.reuse_port = reuse == 1 ? ReusePort::Yes : ReusePort::No;
  return c;
}

Result<NetdCommand> take_open_esp(ByteReader& in) {
  OpenEsp c;
  QANAT_ASSIGN(const std::uint8_t family, in.u8("family"));
  if (family != 4 && family != 6) return malformed("the family is neither 4 nor 6");
  c.family = family == 4 ? Family::V4 : Family::V6;
  QANAT_ASSIGN(c.mark, in.u32("mark"));
  return c;
}

Result<NetdCommand> take_open_tun(ByteReader& in) {
  OpenTun c;
  QANAT_ASSIGN(c.name, take_text(in, kMaxText));
  QANAT_ASSIGN(c.mtu, in.u16("MTU"));
  QANAT_ASSIGN(const std::uint8_t queue, in.u8("queue"));
  if (queue > static_cast<std::uint8_t>(TunQueue::Further)) return malformed("the queue is of no kind");
  c.queue = static_cast<TunQueue>(queue);
  return c;
}

Result<NetdCommand> take_set_protection(ByteReader& in) {
  gateway::SetProtection c;
  QANAT_ASSIGN(c.tun, take_text(in, kMaxText));
  QANAT_ASSIGN(c.route_table, in.u32("route table"));
  QANAT_ASSIGN(c.fwmark, in.u32("mark"));
  QANAT_ASSIGN(c.tun_mtu, in.u16("MTU"));
  QANAT_ASSIGN(c.prefixes, take_prefixes(in));
  QANAT_ASSIGN(const std::uint16_t accounts, in.u16("number of accounts"));
  if (accounts > kMaxAccounts) return malformed("there are too many accounts");
  for (std::uint16_t i = 0; i < accounts; ++i) {
    gateway::AccountProtection a;
    QANAT_ASSIGN(const std::uint32_t vrf, in.u32("VRF"));
    a.vrf = VrfId{vrf};
    QANAT_ASSIGN(a.tun, take_text(in, kMaxText));
    QANAT_ASSIGN(a.route_table, in.u32("route table"));
    QANAT_ASSIGN(a.tun_mtu, in.u16("MTU"));
    QANAT_ASSIGN(a.prefixes, take_prefixes(in));
    QANAT_ASSIGN(a.interfaces, take_names(in));
    c.accounts.push_back(std::move(a));
  }
  return c;
}

Result<NetdCommand> take_nat(ByteReader& in) {
  gateway::SetNat c;
  QANAT_ASSIGN(const std::uint16_t count, in.u16("number of rules"));
  if (count > kMaxNatRules) return malformed("there are too many NAT rules");
  for (std::uint16_t i = 0; i < count; ++i) {
    gateway::NatRule rule;
    QANAT_ASSIGN(rule.in, take_names(in));
    QANAT_ASSIGN(rule.sources, take_prefixes(in));
    QANAT_ASSIGN(rule.out_interface, take_text(in, kMaxText));
    QANAT_ASSIGN(const std::uint8_t fixed, in.u8("translated address"));
    if (fixed > 1) return malformed("a flag is neither 0 nor 1");
    if (fixed == 1) {
      QANAT_ASSIGN(rule.translate, take_address(in));
    }
    c.rules.push_back(std::move(rule));
  }
  return c;
}

Result<NetdCommand> take_purge(ByteReader& in) {
  gateway::PurgeProtection c;
  QANAT_ASSIGN(c.route_table, in.u32("route table"));
  QANAT_ASSIGN(c.fwmark, in.u32("mark"));
  return c;
}

Result<NetdCommand> take_barriers(ByteReader& in) {
  gateway::ChangeBarriers c;
  for (auto* list : {&c.add, &c.remove}) {
    QANAT_ASSIGN(const std::uint32_t count, in.u32("number of barriers"));
    if (count > kMaxPrefixes) return malformed("there are too many barriers");
    if (in.remaining() < std::size_t{count} * 14) return malformed("there are fewer barriers than announced");
    list->reserve(count);
    for (std::uint32_t i = 0; i < count; ++i) {
      QANAT_ASSIGN(const std::uint32_t table, in.u32("route table"));
      QANAT_ASSIGN(const std::uint32_t vrf, in.u32("VRF"));
      QANAT_ASSIGN(const Prefix prefix, take_prefix(in));
      list->push_back({table, prefix, VrfId{vrf}});
    }
  }
  return c;
}

Result<NetdCommand> decode_command(std::uint8_t verb, ByteView body) {
  ByteReader in(body);
  Result<NetdCommand> command = malformed("unknown verb");
  switch (static_cast<Verb>(verb)) {
    case Verb::OpenUdp:
      command = take_open_udp(in);
      break;
    case Verb::OpenEsp:
      command = take_open_esp(in);
      break;
    case Verb::OpenTun:
      command = take_open_tun(in);
      break;
    case Verb::SetProtection:
      command = take_set_protection(in);
      break;
    case Verb::PurgeProtection:
      command = take_purge(in);
      break;
    case Verb::SetNat:
      command = take_nat(in);
      break;
    case Verb::ChangeBarriers:
      command = take_barriers(in);
      break;
  }
  if (command && !in.empty()) return malformed("there are octets after the command");
  if (command) QANAT_TRY(check_command(*command));
  return command;
}

}  // namespace

std::vector<Bytes> encode_request(const NetdRequest& request) {
  ByteWriter body;
  const Verb verb = std::visit(Encoder{body}, request.command);
  constexpr std::size_t kPiece = kMaxFrame - kFrameHeader;
  std::vector<Bytes> frames;
  ByteView rest = body.view();
  do {
    const std::size_t size = std::min(rest.size(), kPiece);
    ByteWriter frame;
    frame.u64(request.request.value());
    frame.u8(static_cast<std::uint8_t>(verb));
    frame.u8(size < rest.size() ? 1 : 0);
    frame.u16(0);
    frame.bytes(rest.first(size));
    rest = rest.subspan(size);
    frames.push_back(std::move(frame).take());
  } while (!rest.empty());
  return frames;
}

Result<std::optional<NetdRequest>> RequestAssembler::add_frame(ByteView frame) {
  std::optional<Partial> partial = std::exchange(partial_, std::nullopt);
  failed_ = partial ? partial->request : RequestId{};
  if (frame.size() > kMaxFrame) return malformed("a frame is too long");
  ByteReader in(frame);
  QANAT_ASSIGN(const std::uint64_t id, in.u64("request id"));
  failed_ = RequestId{id};
  QANAT_ASSIGN(const std::uint8_t verb, in.u8("verb"));
  QANAT_ASSIGN(const std::uint8_t more, in.u8("more"));
  QANAT_ASSIGN(const std::uint16_t zero, in.u16("zero"));
  if (more > 1 || zero != 0) return malformed("a reserved field is not 0");
  if (partial && (partial->request != failed_ || partial->verb != verb)) {
    return malformed("a piece belongs to another command");
  }
  if (!partial) partial = Partial{failed_, verb, {}};
  append(partial->body, in.rest());
  if (partial->body.size() > kMaxRequest) return malformed("the command is too long");
  if (more == 1) {
    partial_ = std::move(partial);
    return std::optional<NetdRequest>{};
  }
  QANAT_ASSIGN(NetdCommand command, decode_command(verb, partial->body));
  return NetdRequest{failed_, std::move(command)};
}

Bytes encode_answer(const NetdAnswer& answer) {
  ByteWriter out;
  out.u64(answer.request.value());
  out.u8(answer.status ? 1 : 0);
  out.u8(answer.status ? 0 : static_cast<std::uint8_t>(answer.status.error().kind));
  out.u16(0);
  put(out, answer.status ? std::string{} : answer.status.error().where, kMaxText);
  put(out, answer.status ? std::string{} : answer.status.error().detail, kMaxText);
  return std::move(out).take();
}

Result<NetdAnswer> decode_answer(ByteView frame) {
  ByteReader in(frame);
  QANAT_ASSIGN(const std::uint64_t id, in.u64("request id"));
  QANAT_ASSIGN(const std::uint8_t ok, in.u8("ok"));
  QANAT_ASSIGN(const std::uint8_t kind, in.u8("kind"));
  QANAT_ASSIGN(const std::uint16_t zero, in.u16("zero"));
  QANAT_ASSIGN(std::string where, take_text(in, kMaxText));
  QANAT_ASSIGN(std::string detail, take_text(in, kMaxText));
  if (ok > 1 || zero != 0 || kind > static_cast<std::uint8_t>(ErrorKind::Internal) || !in.empty()) {
    return malformed("the answer is none");
  }
  NetdAnswer answer{RequestId{id}, {}};
  if (ok == 0) answer.status = fail(ErrorKind{kind}, std::move(where), std::move(detail));
  return answer;
}

}  // namespace qanat::io
