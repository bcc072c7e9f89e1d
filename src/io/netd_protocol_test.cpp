#include "io/netd_protocol.hpp"

#include <thread>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include "base/rng.hpp"
#include "io/netd_client.hpp"

namespace qanat::io {
namespace {

gateway::SetProtection protection() {
  return {"qanat0",
          5200,
          0x5154,
          1400,
          {*Prefix::parse("10.1.0.0/16"), *Prefix::parse("2001:db8::/32"), *Prefix::parse("0.0.0.0/0"),
           *Prefix::parse("::/0")}};
}

gateway::SetProtection with_accounts() {
  gateway::SetProtection out = protection();
  out.accounts = {{VrfId{1}, "qanat1", 5210, 1400, {*Prefix::parse("10.1.0.0/16")}, {"lan1", "lan2"}},
                  {VrfId{2}, "qanat2", 5212, 1300, {}, {}}};
  return out;
}

gateway::SetNat nat() {
  return {{{{"qanat0"}, {}, "", std::nullopt},
           {{"qanat1", "lan1"},
            {*Prefix::parse("10.0.0.0/8"), *Prefix::parse("10.1.0.0/16")},
            "wan",
            *IpAddress::parse("192.0.2.9")}}};
}

std::vector<NetdCommand> samples() {
  return {OpenUdp{{*IpAddress::parse("192.0.2.1"), 4500}, 7, ReusePort::Yes},
          OpenUdp{{*IpAddress::parse("2001:db8::1"), 500}, 0, ReusePort::No},
          OpenEsp{Family::V6, 9},
          OpenTun{"qanat0", 1400},
          OpenTun{"qanat0", 1400, TunQueue::First},
          OpenTun{"qanat0", 1400, TunQueue::Further},
          protection(),
          gateway::PurgeProtection{5200, 0x5154},
          with_accounts(),
          nat(),
          gateway::ChangeBarriers{{{254, *Prefix::parse("10.9.0.0/16")}, {7, *Prefix::parse("fd09::/16"), VrfId{3}}},
                                  {{254, *Prefix::parse("0.0.0.0/0")}}}};
}

Result<std::optional<NetdRequest>> assemble(RequestAssembler& assembler, const std::vector<Bytes>& frames) {
  Result<std::optional<NetdRequest>> last = std::optional<NetdRequest>{};
  for (const Bytes& frame : frames) last = assembler.add_frame(frame);
  return last;
}

template <typename T>
bool same(const NetdCommand& a, const NetdCommand& b) {
  return std::get<T>(a) == std::get<T>(b);
}

TEST(NetdProtocol, RoundTrips) {
  RequestAssembler assembler;
  std::uint64_t id = 1;
  for (const NetdCommand& command : samples()) {
    const auto frames = encode_request({RequestId{++id}, command});
    EXPECT_EQ(frames.size(), 1U);
    const auto got = assemble(assembler, frames);
    ASSERT_TRUE(got && *got) << (got ? "" : got.error().detail);
    EXPECT_EQ((*got)->request, RequestId{id});
    EXPECT_EQ(encode_request(**got), frames);
    ASSERT_EQ((*got)->command.index(), command.index());
  }
}

TEST(NetdProtocol, CutsLongCommandsIntoFrames) {
  gateway::SetProtection many = protection();
  many.prefixes.clear();
  for (std::uint32_t i = 0; i < kMaxPrefixes; ++i) {
    many.prefixes.push_back(Prefix::masked(IpAddress::v4(0x0a000000U + (i << 4)), 28));
  }
  const auto frames = encode_request({RequestId{5}, many});
  EXPECT_GT(frames.size(), 10U);
  for (const Bytes& frame : frames) EXPECT_LE(frame.size(), kMaxFrame);
  RequestAssembler assembler;
  auto got = assemble(assembler, frames);
  ASSERT_TRUE(got && *got);
  EXPECT_EQ(std::get<gateway::SetProtection>((*got)->command), many);

  // A piece of another command in between spoils it, and the next command is understood again.
  ASSERT_TRUE(assembler.add_frame(frames[0]));
  const auto other = encode_request({RequestId{6}, samples()[2]});
  EXPECT_FALSE(assembler.add_frame(other[0]));
  EXPECT_EQ(assembler.failed_request(), RequestId{6});
  got = assemble(assembler, other);
  EXPECT_TRUE(got && *got);

  many.prefixes.push_back(*Prefix::parse("10.0.0.0/8"));
  got = assemble(assembler, encode_request({RequestId{7}, many}));
  EXPECT_FALSE(got);
  EXPECT_EQ(assembler.failed_request(), RequestId{7});
}

TEST(NetdProtocol, RefusesWhatIsOutOfRange) {
  const auto refused = [](NetdCommand command) { return !check_command(command).has_value(); };
  EXPECT_TRUE(refused(OpenUdp{{IpAddress{}, 53}, 0, ReusePort::No}));
  EXPECT_TRUE(refused(OpenUdp{{IpAddress{}, 0}, 0, ReusePort::No}));
  EXPECT_TRUE(refused(OpenTun{"qanat0", 100}));
  for (const char* name :
       {"", "lo", "all", "default", ".", "..", "../x", "a/b", "qanat%d", "-x", "sixteen-letters-", "a b", "\x80"}) {
    EXPECT_TRUE(refused(OpenTun{name, 1400})) << name;
  }
  for (const std::uint32_t table : {0U, 253U, 254U, 255U, 0xfffffffeU, 0xffffffffU}) {
    gateway::SetProtection p = protection();
    p.route_table = table;
    EXPECT_TRUE(refused(p)) << table;
    EXPECT_TRUE(refused(gateway::PurgeProtection{table, 1})) << table;
  }
  for (const char* prefix : {"127.0.0.0/8", "127.1.0.0/16", "224.0.0.0/4", "239.1.2.3/32", "::1/128", "fe80::/10",
                             "fe80::/64", "ff02::/16"}) {
    gateway::SetProtection p = protection();
    p.prefixes = {*Prefix::parse(prefix)};
    EXPECT_TRUE(refused(p)) << prefix;
  }
  gateway::SetProtection p = protection();
  p.fwmark = 0;
  EXPECT_TRUE(refused(p));
  p = protection();
  p.prefixes = {*Prefix::parse("128.0.0.0/1"), *Prefix::parse("8000::/1")};  // cover reserved space: allowed
  EXPECT_FALSE(refused(p));
  EXPECT_FALSE(refused(protection()));
}

TEST(NetdProtocol, AccountsShareNothing) {
  const auto refused = [](const auto& change) {
    gateway::SetProtection p = with_accounts();
    change(p);
    return !check_command(p).has_value();
  };
  EXPECT_FALSE(refused([](auto&) {}));
  EXPECT_TRUE(refused([](auto& p) { p.accounts[1].vrf = VrfId{1}; }));
  EXPECT_TRUE(refused([](auto& p) { p.accounts[1].vrf = VrfId{0}; }));
  EXPECT_TRUE(refused([](auto& p) { p.accounts[1].vrf = VrfId{256}; }));
  for (const std::uint32_t table : {5200U, 5201U, 5210U, 5211U, 254U}) {
    EXPECT_TRUE(refused([&](auto& p) { p.accounts[1].route_table = table; })) << table;
  }
  EXPECT_TRUE(refused([](auto& p) { p.accounts[1].route_table = 5199; })) << "its second one";
  for (const char* name : {"qanat0", "qanat1", "lan2", "lo", "a b", "x*", ""}) {
    EXPECT_TRUE(refused([&](auto& p) { p.accounts[1].tun = name; })) << name;
    EXPECT_TRUE(refused([&](auto& p) { p.accounts[1].interfaces = {name}; })) << name;
  }
  EXPECT_TRUE(refused([](auto& p) { p.accounts[1].tun_mtu = 100; }));
  EXPECT_TRUE(refused([](auto& p) { p.accounts[1].prefixes = {*Prefix::parse("127.0.0.0/8")}; }));
  EXPECT_TRUE(refused([](auto& p) { p.accounts[1].prefixes.assign(kMaxPrefixes, *Prefix::parse("10.0.0.0/8")); }))
      << "with those of the others they are too many";
  EXPECT_TRUE(refused([](auto& p) { p.fwmark = 0xffffffff; })) << "no mark is left for accounts";
  EXPECT_FALSE(refused([](auto& p) { p.fwmark = 0xfffffffd; }));
}

TEST(NetdProtocol, NatRulesAreChecked) {
  const auto refused = [](const auto& change) {
    gateway::SetNat n = nat();
    change(n.rules[1]);
    return !check_command(n).has_value();
  };
  EXPECT_FALSE(refused([](auto&) {}));
  EXPECT_TRUE(check_command(gateway::SetNat{}).has_value()) << "no rule: the table goes";
  EXPECT_TRUE(refused([](auto& r) { r.in.clear(); }));
  for (const char* name : {"x*", "a b", "lo", "", "\"; accept"}) {
    EXPECT_TRUE(refused([&](auto& r) { r.in = {name}; })) << name;
    if (*name != '\0') {
      EXPECT_TRUE(refused([&](auto& r) { r.out_interface = name; })) << name;
    }
  }
  EXPECT_TRUE(refused([](auto& r) { r.translate = IpAddress{}; }));
  EXPECT_TRUE(refused([](auto& r) { r.translate = *IpAddress::parse("224.0.0.1"); }));
  EXPECT_TRUE(refused([](auto& r) { r.translate = *IpAddress::parse("2001:db8::1"); })) << "its sources are IPv4";
  gateway::SetNat many;
  many.rules.assign(kMaxNatRules + 1, nat().rules[0]);
  EXPECT_FALSE(check_command(many).has_value());
}

TEST(NetdProtocol, BarriersStandInOtherTablesThanTheLocalOne) {
  const auto refused = [](std::uint32_t table, const char* prefix) {
    const gateway::Barrier barrier{table, *Prefix::parse(prefix)};
    EXPECT_EQ(check_command(gateway::ChangeBarriers{{barrier}, {}}).has_value(),
              check_command(gateway::ChangeBarriers{{}, {barrier}}).has_value());
    return !check_command(gateway::ChangeBarriers{{barrier}, {}}).has_value();
  };
  EXPECT_FALSE(refused(254, "10.0.0.0/8"));
  EXPECT_FALSE(refused(1, "::/0"));
  EXPECT_TRUE(refused(0, "10.0.0.0/8"));
  EXPECT_TRUE(refused(255, "10.0.0.0/8"));
  EXPECT_TRUE(refused(254, "127.0.0.0/8"));
  EXPECT_TRUE(refused(254, "ff00::/8"));
  EXPECT_FALSE(check_command(gateway::ChangeBarriers{{{254, *Prefix::parse("10.0.0.0/8"), VrfId{256}}}, {}}));
  gateway::ChangeBarriers many;
  many.add.assign(kMaxPrefixes, {254, *Prefix::parse("10.0.0.0/8")});
  EXPECT_TRUE(check_command(many).has_value());
  RequestAssembler assembler;
  const auto got = assemble(assembler, encode_request({RequestId{9}, many}));
  EXPECT_TRUE(got && *got) << "and it fits into a request";
  many.remove.push_back(many.add.front());
  EXPECT_FALSE(check_command(many).has_value());
}

TEST(NetdProtocol, NeverTakesMutatedOctetsForMoreThanTheySay) {
  SeededRng rng(20260726);
  int refused = 0;
  for (int round = 0; round < 20'000; ++round) {
    const auto all = samples();
    Bytes frame = encode_request({RequestId{1}, all[static_cast<std::size_t>(rng.u64() % all.size())]})[0];
    for (std::uint64_t flips = 1 + rng.u64() % 4; flips > 0; --flips) {
      frame[static_cast<std::size_t>(rng.u64() % frame.size())] = static_cast<std::uint8_t>(rng.u64());
    }
    if (rng.u64() % 3 == 0) frame.resize(static_cast<std::size_t>(rng.u64() % (frame.size() + 1)));
    if (rng.u64() % 7 == 0) append(frame, rng.bytes(static_cast<std::size_t>(rng.u64() % 20)));
    RequestAssembler assembler;
    const auto got = assembler.add_frame(frame);
    if (!got) {
      ++refused;
      EXPECT_FALSE(got.error().detail.empty());
    } else if (*got) {
      // What passes is a command that is in range, and says the same thing again.
      EXPECT_TRUE(check_command((*got)->command));
      EXPECT_EQ(encode_request(**got)[0], frame);
    }
    (void)decode_answer(frame);
  }
  EXPECT_GT(refused, 5'000);
  // Every cut is noticed.
  for (const NetdCommand& command : samples()) {
    const Bytes frame = encode_request({RequestId{1}, command})[0];
    for (std::size_t size = 0; size < frame.size(); ++size) {
      RequestAssembler assembler;
      EXPECT_FALSE(assembler.add_frame(ByteView{frame}.first(size)));
    }
  }
}

TEST(NetdProtocol, CarriesAnswers) {
  const NetdAnswer good{RequestId{3}, {}};
  EXPECT_TRUE(decode_answer(encode_answer(good))->status);
  const NetdAnswer bad{RequestId{4}, fail(ErrorKind::LocalPolicy, "where", std::string(9000, 'x'))};
  const auto got = decode_answer(encode_answer(bad));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->request, RequestId{4});
  EXPECT_EQ(got->status.error().kind, ErrorKind::LocalPolicy);
  EXPECT_EQ(got->status.error().where, "where");
  EXPECT_EQ(got->status.error().detail.size(), 4096U);  // cut, not lost
}

TEST(NetdClient, FailsWhatIsPostedWhenTheHelperGoes) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
  NetdClient client{UniqueFd(ends[0])};
  UniqueFd helper(ends[1]);
  client.post(RequestId{11}, gateway::PurgeProtection{5200, 1});
  EXPECT_FALSE(client.poll());
  helper.reset();
  auto result = client.poll();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->request, RequestId{11});
  EXPECT_FALSE(result->status);
  EXPECT_TRUE(client.closed());
  client.post(RequestId{12}, gateway::PurgeProtection{5200, 1});
  result = client.poll();
  ASSERT_TRUE(result);
  EXPECT_EQ(result->request, RequestId{12});
  EXPECT_FALSE(client.poll());
  const auto opened = client.open_esp(Family::V4, 1);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().detail.find("has ended"), std::string::npos);
}

}  // namespace
}  // namespace qanat::io
