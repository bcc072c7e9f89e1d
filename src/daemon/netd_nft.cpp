#include "daemon/netd_nft.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <vector>

#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "io/datagram.hpp"
#include "io/fd.hpp"

namespace qanat::daemon {

namespace {

using Json = nlohmann::json;

constexpr const char* kWhere = "nftables";
constexpr const char* kTable = "qanat";
constexpr int kPatienceMs = 30'000;

Json in_table(Json object) {
  object["family"] = "inet";
  object["table"] = kTable;
  return object;
}
Json table() {
  return {{"table", {{"family", "inet"}, {"name", kTable}}}};
}
Json add(Json object) {
  return {{"add", std::move(object)}};
}

// Expressions of nft's JSON (libnftables-json(5)).
Json payload(const char* protocol, const char* field) {
  return {{"payload", {{"protocol", protocol}, {"field", field}}}};
}
Json meta(const char* key) {
  return {{"meta", {{"key", key}}}};
}
Json fib(const char* result, const char* of) {
  return {{"fib", {{"result", result}, {"flags", Json::array({of})}}}};
}
Json match(const char* op, Json left, Json right) {
  return {{"match", {{"op", op}, {"left", std::move(left)}, {"right", std::move(right)}}}};
}
Json any_of(Json values) {
  return {{"set", std::move(values)}};
}
Json prefix(const char* address, unsigned length) {
  return {{"prefix", {{"addr", address}, {"len", length}}}};
}
Json to_us() {
  return match("==", fib("type", "daddr"), "local");
}
Json counted() {
  return {{"counter", nullptr}};
}
Json mark(std::uint32_t value) {
  return {{"mangle", {{"key", meta("mark")}, {"value", value}}}};
}
Json accept() {
  return {{"accept", nullptr}};
}
Json drop() {
  return {{"drop", nullptr}};
}

// The two chains: what comes in by another interface than the TUN, and what goes out by one.
constexpr const char* kIn = "from_outside";
constexpr const char* kOut = "to_outside";

Json chain(const char* name, const char* hook) {
  return add({{"chain",
               in_table({{"name", name}, {"type", "filter"}, {"hook", hook}, {"prio", -300}, {"policy", "accept"}})}});
}
Json rule(const char* name, const char* comment, Json expressions) {
  return add({{"rule", in_table({{"chain", name}, {"comment", comment}, {"expr", std::move(expressions)}})}});
}
Json neighbour_discovery() {
  return {match("==", payload("ip6", "hoplimit"), 255),
          match("==", payload("icmpv6", "type"),
                any_of({"nd-router-solicit", "nd-router-advert", "nd-neighbor-solicit", "nd-neighbor-advert"})),
          accept()};
}

// An interval set takes no prefix inside another one.
std::vector<Prefix> without_nested(std::vector<Prefix> prefixes, bool v6) {
  std::erase_if(prefixes, [&](const Prefix& p) { return p.is_v4() == v6 || p.length() == 0; });
  std::ranges::sort(prefixes, [](const Prefix& a, const Prefix& b) {
    return a.address() != b.address() ? a.address() < b.address() : a.length() < b.length();
  });
  std::vector<Prefix> out;
  for (const Prefix& p : prefixes) {
    if (out.empty() || !out.back().contains(p)) out.push_back(p);
  }
  return out;
}

Json source_set(const char* name, const char* type, const std::vector<Prefix>& prefixes) {
  Json elements = Json::array();
  for (const Prefix& p : prefixes) {
    elements.push_back({{"prefix", {{"addr", p.address().to_string()}, {"len", p.length()}}}});
  }
  Json set = in_table({{"name", name}, {"type", type}, {"flags", Json::array({"interval"})}});
  if (!elements.empty()) set["elem"] = std::move(elements);
  return add({{"set", std::move(set)}});
}

bool has_default(const gateway::SetProtection& p, bool v6) {
  return std::ranges::any_of(p.prefixes, [&](const Prefix& x) { return x.length() == 0 && x.is_v4() != v6; });
}

// What belongs to the outer network and may come from anywhere, also from inside a protected prefix: IKE and ESP
// addressed to this host, their fragments (useless without a first one, which must have passed), and the link's own
// packets, which routers do not forward. IKE and ESP get our mark: the reverse path filter (with src_valid_mark) then
// looks the peer up where our answers go, past our own tables, and a route that covers the peer does not make it a
// martian.
void add_outer_exemptions(Json& commands, std::uint32_t fwmark) {
  commands.push_back(rule(
      kIn, "IKE and ESP in UDP",
      {match("==", payload("udp", "dport"), any_of({io::kIkePort, io::kNatPort})), to_us(), mark(fwmark), accept()}));
  commands.push_back(rule(kIn, "ESP", {match("==", meta("l4proto"), "esp"), to_us(), mark(fwmark), accept()}));
  const Json offset = {{"&", {payload("ip", "frag-off"), 0x1fff}}};
  commands.push_back(rule(kIn, "later fragments", {match("!=", offset, 0), to_us(), accept()}));
  const Json offset6 = {{"exthdr", {{"name", "frag"}, {"field", "frag-off"}}}};
  commands.push_back(rule(kIn, "later fragments", {match("!=", offset6, 0), to_us(), accept()}));
  commands.push_back(rule(kIn, "neighbour discovery", neighbour_discovery()));
  commands.push_back(rule(kIn, "link-local", {match("==", payload("ip6", "saddr"), prefix("fe80::", 10)), accept()}));
}

// With a default route through the tunnel every source that has no route of its own belongs behind it. A list cannot
// say that, the routing table can: dropped is what we would answer through the TUN, or (when the TUN is gone) could not
// answer. Not "fib saddr . iif": with an interface given, IPv6 skips the TUN's route and may find the main table's
// default (measured, Linux 6.18).
void add_default_rules(Json& commands, const std::string& tun, bool v6) {
  const Json family = match("==", meta("nfproto"), v6 ? "ipv6" : "ipv4");
  commands.push_back(
      rule(kIn, "no source", {match("==", payload(v6 ? "ip6" : "ip", "saddr"), v6 ? "::" : "0.0.0.0"), accept()}));
  const Json errors = v6 ? Json{"destination-unreachable", "packet-too-big", "time-exceeded", "parameter-problem"}
                         : Json{"destination-unreachable", "time-exceeded", "parameter-problem"};
  commands.push_back(rule(kIn, "ICMP errors",
                          {match("==", payload(v6 ? "icmpv6" : "icmp", "type"), any_of(errors)), to_us(), accept()}));
  commands.push_back(
      rule(kIn, "source behind a tunnel", {family, match("==", fib("oifname", "saddr"), tun), counted(), drop()}));
  commands.push_back(rule(kIn, "source behind a tunnel that is down",
                          {family, match("==", fib("oif", "saddr"), false), counted(), drop()}));
}

// The routing rules keep protected packets inside. This holds where they are passed by: a socket bound to an interface
// (the kernel then skips the routes of others, and IPv4 assumes its destination on the link), or another's rule before
// ours. For a default there is no list, and `fib` cannot be asked on the way out: IPv6 is held by a routing rule, but
// an IPv4 socket of a process on this host that is bound to an interface still reaches whoever answers ARP for its
// destination there.
void add_exit_rules(Json& commands, const gateway::SetProtection& protection) {
  commands.push_back(
      rule(kOut, "to the inside", {match("==", meta("oifname"), any_of({protection.tun, "lo"})), accept()}));
  commands.push_back(rule(kOut, "our own outer packets", {match("==", meta("mark"), protection.fwmark), accept()}));
  commands.push_back(rule(kOut, "neighbour discovery", neighbour_discovery()));
  commands.push_back(
      rule(kOut, "link-local",
           {match("==", payload("ip6", "daddr"), any_of({prefix("fe80::", 10), prefix("ff00::", 8)})), accept()}));
  commands.push_back(rule(kOut, "broadcast and multicast",
                          {match("==", fib("type", "daddr"), any_of({"broadcast", "multicast"})), accept()}));
  commands.push_back(
      rule(kOut, "protected destination", {match("==", payload("ip", "daddr"), "@protected4"), counted(), drop()}));
  commands.push_back(
      rule(kOut, "protected destination", {match("==", payload("ip6", "daddr"), "@protected6"), counted(), drop()}));
}

Result<io::UniqueFd> memory_file(const char* name, const std::string& content) {
  io::UniqueFd fd(::memfd_create(name, MFD_CLOEXEC));
  if (!fd.valid()) return io::system_failure(kWhere, "memfd_create");
  std::size_t at = 0;
  while (at < content.size()) {
    const ssize_t written = ::write(fd.get(), content.data() + at, content.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return io::system_failure(kWhere, "writing the rules");
    at += static_cast<std::size_t>(written);
  }
  if (::lseek(fd.get(), 0, SEEK_SET) != 0) return io::system_failure(kWhere, "lseek");
  return fd;
}

Result<std::string> find_nft() {
  for (const char* path : {"/usr/sbin/nft", "/sbin/nft", "/usr/local/sbin/nft", "/usr/bin/nft"}) {
    if (::access(path, X_OK) == 0) return std::string(path);
  }
  return fail(ErrorKind::Internal, kWhere, "there is no nft on this host: install the package nftables");
}

class SpawnActions {
 public:
  SpawnActions() { ok_ = ::posix_spawn_file_actions_init(&actions_) == 0; }
  ~SpawnActions() {
    if (ok_) ::posix_spawn_file_actions_destroy(&actions_);
  }
  SpawnActions(const SpawnActions&) = delete;
  SpawnActions& operator=(const SpawnActions&) = delete;
  void redirect(int from, int to) { ok_ = ok_ && ::posix_spawn_file_actions_adddup2(&actions_, from, to) == 0; }
  [[nodiscard]] const posix_spawn_file_actions_t* get() const { return ok_ ? &actions_ : nullptr; }

 private:
  posix_spawn_file_actions_t actions_{};
  bool ok_ = false;
};

// Waits for the child, at most kPatienceMs; its wait status.
Result<int> wait_for(pid_t child) {
  const io::UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
  pollfd p{handle.get(), POLLIN, 0};
  if (handle.valid()) {
    int ready = 0;
    do {
      ready = ::poll(&p, 1, kPatienceMs);
    } while (ready < 0 && errno == EINTR);
    if (ready == 0) ::kill(child, SIGKILL);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return io::system_failure(kWhere, "waiting for nft");
  }
  return status;
}

std::string first_line(int fd) {
  std::array<char, 512> text{};
  const ssize_t size = ::pread(fd, text.data(), text.size(), 0);
  if (size <= 0) return "no reason given";
  const std::string_view all(text.data(), static_cast<std::size_t>(size));
  return printable(all.substr(0, all.find('\n')), 300);
}

}  // namespace

std::string filter_json(const gateway::SetProtection& protection) {
  Json commands = Json::array();
  // Add, so that delete cannot fail; then all anew, in the same transaction.
  commands.push_back(add(table()));
  commands.push_back({{"delete", table()}});
  commands.push_back(add(table()));
  commands.push_back(source_set("protected4", "ipv4_addr", without_nested(protection.prefixes, false)));
  commands.push_back(source_set("protected6", "ipv6_addr", without_nested(protection.prefixes, true)));
  commands.push_back(chain(kIn, "prerouting"));
  commands.push_back(chain(kOut, "postrouting"));
  commands.push_back(
      rule(kIn, "from inside", {match("==", meta("iifname"), any_of({protection.tun, "lo"})), accept()}));
  add_outer_exemptions(commands, protection.fwmark);
  commands.push_back(
      rule(kIn, "protected source", {match("==", payload("ip", "saddr"), "@protected4"), counted(), drop()}));
  commands.push_back(
      rule(kIn, "protected source", {match("==", payload("ip6", "saddr"), "@protected6"), counted(), drop()}));
  for (const bool v6 : {false, true}) {
    if (has_default(protection, v6)) add_default_rules(commands, protection.tun, v6);
  }
  add_exit_rules(commands, protection);
  return Json{{"nftables", std::move(commands)}}.dump();
}

std::string purge_json() {
  return Json{{"nftables", {add(table()), {{"delete", table()}}}}}.dump();
}

Status run_nft(const std::string& json) {
  QANAT_ASSIGN(const std::string nft, find_nft());
  QANAT_ASSIGN(const io::UniqueFd input, memory_file("qanat-nft", json));
  QANAT_ASSIGN(const io::UniqueFd output, memory_file("qanat-nft-output", {}));
  SpawnActions actions;
  actions.redirect(input.get(), STDIN_FILENO);
  actions.redirect(output.get(), STDOUT_FILENO);
  actions.redirect(output.get(), STDERR_FILENO);
  if (actions.get() == nullptr) return io::system_failure(kWhere, "posix_spawn_file_actions", ENOMEM);

  std::string arguments[] = {nft, "-j", "-f", "-"};
  std::array<char*, 5> argv{arguments[0].data(), arguments[1].data(), arguments[2].data(), arguments[3].data(),
                            nullptr};
  std::array<char*, 1> environment{nullptr};
  pid_t child = -1;
  const int error = ::posix_spawn(&child, nft.c_str(), actions.get(), nullptr, argv.data(), environment.data());
  if (error != 0) return io::system_failure(kWhere, "starting nft", error);
  QANAT_ASSIGN(const int status, wait_for(child));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
  return fail(ErrorKind::Internal, kWhere, "nft failed: " + first_line(output.get()));
}

}  // namespace qanat::daemon
