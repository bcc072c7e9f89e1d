// The file as a whole: all problems at once, cross checks, keys that stay secret, and any bytes at all.
#include <fstream>
#include <sstream>

#include <fmt/format.h>

#include "base/rng.hpp"
#include "config/config_testing.hpp"

namespace qanat::config::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string example() {
  std::ifstream file{QANAT_SOURCE_DIR "/docs/qanat.example.toml"};
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<SecretBytes> any_key(const std::string&) {
  return SecretBytes::copy_of(to_bytes(std::string_view{"qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n"}));
}

TEST(Load, ExampleOfTheDocumentationLoadsWithoutAWord) {
  const auto loaded = load(example(), "qanat.example.toml", any_key);
  ASSERT_TRUE(loaded.has_value()) << render_problems(loaded.error());
  EXPECT_THAT(loaded->warnings, IsEmpty()) << render_problems(loaded->warnings);
  EXPECT_THAT(loaded->config.tunnels, SizeIs(4));
}

TEST(Load, ReportsEveryProblemAtOnce) {
  const std::string text =
      "[gateway]\naddress = \"x\"\nfwmrk = 5\n[[tunnel]]\nname = \"berlin\"\nrotues = []\nmtu = 1\npq = \"maybe\"\n";
  const auto loaded = load_text(text);
  ASSERT_FALSE(loaded.has_value());
  EXPECT_THAT(loaded.error(), SizeIs(7));
  const std::string all = render_problems(loaded.error());
  EXPECT_THAT(all, HasSubstr("qanat.toml:3:1: error: unknown key 'fwmrk' in [gateway]; did you mean 'fwmark'?\n"));
  EXPECT_THAT(all, HasSubstr("qanat.toml:6:1: error: unknown key 'rotues' in [[tunnel]]; did you mean 'routes'?\n"));
  EXPECT_THAT(all, HasSubstr("qanat.toml:4:1: error: [[tunnel]] berlin: peer is missing\n  hint: "));
  EXPECT_THAT(all, HasSubstr("psk_file is missing"));
  unsigned line = 0;
  for (const Problem& problem : loaded.error()) {
    EXPECT_GE(problem.line, line) << "in the order of the file";
    line = problem.line;
  }
}

TEST(Load, UnknownKeysAreErrorsEverywhere) {
  EXPECT_THAT(said(kGateway + "[tunel]\n"), HasSubstr("unknown key 'tunel' in the file; did you mean 'tunnel'?"));
  EXPECT_THAT(said(with_tunnel("quux_zzz = 1")),
              AllOf(HasSubstr("qanat.toml:7:1: error: unknown key 'quux_zzz' in [[tunnel]]\n"),
                    HasSubstr("hint: keys of [[tunnel]]: name, ")));
  EXPECT_THAT(said(with_tunnel("dpd = { idl = 1 }")),
              HasSubstr("unknown key 'idl' in dpd of [[tunnel]]; did you mean 'idle'?"));
  EXPECT_THAT(said(with_tunnel("selectors = [{ local = \"::/0\", remote = \"::/0\", x = 1 }]")),
              HasSubstr("unknown key 'x' in selectors of [[tunnel]]"));
}

TEST(Load, SectionsOfTheWrongShape) {
  EXPECT_THAT(said(""), HasSubstr("[gateway] is missing"));
  EXPECT_THAT(said("[gateway]\n"), HasSubstr("qanat.toml:1:1: error: [gateway]: address is missing"));
  EXPECT_THAT(said(kGateway), HasSubstr("warning: there is no [[tunnel]]"));
  EXPECT_FALSE(fails(kGateway));
  EXPECT_THAT(said(kGateway + "[tunnel]\nname = \"a\"\n"), HasSubstr("write [[tunnel]] with two brackets"));
  EXPECT_THAT(said("[[gateway]]\naddress = \"203.0.113.1\"\n"), HasSubstr("write [gateway] with single brackets"));
  EXPECT_THAT(said("log = 1\n" + kGateway), HasSubstr("write [log] with single brackets"));
  EXPECT_THAT(said("tunnel = [1]\n" + kGateway), HasSubstr("the entry 1 must be a section"));
  EXPECT_THAT(
      said(kGateway + "[[tunnel]]\n"),
      AllOf(HasSubstr("qanat.toml:3:1: error: [[tunnel]] number 1: name is missing"), HasSubstr("peer is missing")));
}

TEST(Load, MistakesOfGrammarHaveAPlaceAndAHint) {
  for (const char* text : {"[gateway]\naddress = 203.0.113.1\n", "[gateway]\naddress = berlin\n",
                           "[gateway]\naddress = \"x\"\naddress = \"y\"\n", "[gateway]\n[gateway\n"}) {
    EXPECT_TRUE(fails(text));
    EXPECT_THAT(said(text), AllOf(HasSubstr("error: this is not TOML: "), HasSubstr("hint: ")));
    EXPECT_THAT(said(text), ::testing::MatchesRegex("qanat.toml:[23]:[0-9]+: error(.|\n)*"));
  }
}

TEST(Load, Names) {
  const std::string text =
      with_tunnel("") + "[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.8\"\npsk_file = \"good.psk\"\n";
  EXPECT_TRUE(fails(text));
  EXPECT_THAT(
      said(text),
      HasSubstr("qanat.toml:9:1: error: [[tunnel]]: name = \"berlin\": the tunnel at line 4 has this name already"));
}

TEST(Load, TwinsAreRefused) {
  const std::string twin = with_tunnel("") + second_tunnel("peer = \"198.51.100.7\"");
  EXPECT_TRUE(fails(twin));
  EXPECT_THAT(
      said(twin),
      AllOf(HasSubstr("qanat.toml:8:1: error: [[tunnel]] paris: cannot be told apart from [[tunnel]] berlin at line 3"),
            HasSubstr("remote_id")));
  // What a default means counts, not whether it was written; names compare without case.
  EXPECT_TRUE(fails(with_tunnel("") + second_tunnel("peer = \"198.51.100.7\"\nremote_id = \"198.51.100.7\"\nlocal = "
                                                    "\"203.0.113.1\"\nlocal_id = \"203.0.113.1\"")));
  EXPECT_TRUE(fails(with_tunnel("remote_id = \"fqdn:A.example.com\"") +
                    second_tunnel("peer = \"198.51.100.7\"\nremote_id = \"a.example.com\"")));
  EXPECT_TRUE(fails(with_tunnel("remote_id = \"keyid:x\"") + second_tunnel("peer = \"any\"\nremote_id = \"keyid:x\"")));
  EXPECT_TRUE(fails(with_tunnel("remote_id = \"dn:CN=a\"") +
                    second_tunnel("peer = \"198.51.100.7\"\nremote_id = \"dn:CN=a\"")));
}

TEST(Load, TunnelsThatDifferInOneThingAreFine) {
  for (const char* other :
       {"peer = \"198.51.100.8\"", "peer = \"198.51.100.7\"\nremote_id = \"keyid:other\"",
        "peer = \"198.51.100.7\"\nlocal_id = \"keyid:us\"", "peer = \"198.51.100.7\"\nlocal = \"203.0.113.2\"",
        "peer = \"any\"\nremote_id = \"keyid:x\""}) {
    EXPECT_FALSE(fails(with_tunnel("") + second_tunnel(other)))
        << other << said(with_tunnel("") + second_tunnel(other));
  }
  // Two sites behind one NAT address.
  EXPECT_FALSE(fails(with_tunnel("remote_id = \"fqdn:a.example.com\"") +
                     second_tunnel("peer = \"198.51.100.7\"\nremote_id = \"fqdn:b.example.com\"")));
}

TEST(Load, AnyPeerNeedsAnIdentityAndCannotBeCalled) {
  EXPECT_THAT(said(kGateway + second_tunnel("peer = \"any\"")),
              HasSubstr("qanat.toml:6:1: error: [[tunnel]] paris: peer = \"any\": remote_id is missing"));
  const std::string calls = kGateway + second_tunnel("peer = \"any\"\nremote_id = \"keyid:x\"\nstart = \"initiate\"");
  EXPECT_TRUE(fails(calls));
  EXPECT_THAT(said(calls), HasSubstr("qanat.toml:8:9: error: [[tunnel]] paris: start = \"initiate\": cannot call"));
}

TEST(Load, PeerFamilyNeedsAGatewayAddress) {
  const std::string text = "[gateway]\naddress = \"203.0.113.1\"\n" + second_tunnel("peer = \"2001:db8::7\"");
  EXPECT_TRUE(fails(text));
  EXPECT_THAT(
      said(text),
      HasSubstr("qanat.toml:6:1: error: [[tunnel]] paris: peer = \"2001:db8::7\": the gateway has no IPv6 address"));
  EXPECT_FALSE(fails(kGateway + second_tunnel("peer = \"2001:db8::7\"")));
  EXPECT_THAT(said(kGateway + second_tunnel("peer = \"2001:db8::7\"\nike_fragment_size = 1200")),
              HasSubstr("ike_fragment_size = 1200: must be at least 1280"));
}

TEST(Load, InterfacesDoNotOverlap) {
  const std::string text = with_tunnel("interface = \"10.255.0.1/30\"") +
                           second_tunnel("peer = \"198.51.100.8\"\ninterface = \"10.255.0.2/31\"");
  EXPECT_TRUE(fails(text));
  EXPECT_THAT(said(text), HasSubstr("qanat.toml:12:1: error: [[tunnel]] paris: interface: 10.255.0.2/31 overlaps "
                                    "10.255.0.0/30 of [[tunnel]] berlin at line 7"));
  EXPECT_TRUE(fails(with_tunnel("interface6 = \"fd00::/127\"") +
                    second_tunnel("peer = \"198.51.100.8\"\ninterface6 = \"fd00::1/127\"")));
  EXPECT_FALSE(fails(with_tunnel("interface = \"10.255.0.0/31\"") +
                     second_tunnel("peer = \"198.51.100.8\"\ninterface = \"10.255.0.2/31\"")));
}

TEST(Load, KeysOfAllKinds) {
  const auto with_key = [](std::string_view line) {
    return kGateway + "[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\n" + std::string{line} + "\n";
  };
  EXPECT_THAT(
      said(with_key("psk_file = \"missing.psk\"")),
      HasSubstr("qanat.toml:6:12: error: [[tunnel]] berlin: psk_file = \"missing.psk\": cannot be read: No such file"));
  EXPECT_THAT(said(with_key("psk_file = \"empty.psk\"")),
              HasSubstr("error: [[tunnel]] berlin: psk_file: the key is empty"));
  EXPECT_THAT(said(with_key("psk_file = \"big.psk\"")), HasSubstr("has 5000 octets"));
  EXPECT_THAT(said(with_key("psk_file = \"two.psk\"")),
              HasSubstr("warning: [[tunnel]] berlin: psk_file: the key has more than one line"));
  EXPECT_THAT(said(with_key("psk_file = \"\"")), HasSubstr("must be the path of a file"));
  EXPECT_THAT(said(with_key("psk_file = 1")), HasSubstr("psk_file = 1"));
  EXPECT_THAT(said(with_key("psk = \"\"")), HasSubstr("psk: the key is empty"));
  EXPECT_THAT(said(with_key("psk = \"0123456789abcdef0123456789\"")),
              AllOf(HasSubstr("warning"), HasSubstr("psk_file")));
  EXPECT_THAT(said(with_key("psk = \"x\"\npsk_file = \"good.psk\"")), HasSubstr("psk and psk_file are both given"));
  const auto weak = load_text(with_key("psk_file = \"short.psk\""));
  ASSERT_TRUE(weak.has_value());
  EXPECT_EQ(weak->config.tunnels[0].psk.expose().size(), 7U) << "without the line end";
  EXPECT_THAT(render_problems(weak->warnings), AllOf(HasSubstr("only 7 octets"), HasSubstr("qanat genpsk")));
}

TEST(Load, NoMessageHoldsAKey) {
  for (const char* line : {"psk = \"TopSecret\"", "psk = \"TopSecret\"\npsk_file = \"good.psk\"",
                           "psk = [\"TopSecret\"]", "psk = { TopSecret = 1 }", "pks = \"TopSecret\""}) {
    const std::string text = kGateway + "[[tunnel]]\nname = \"berlin\"\npeer = \"x\"\n" + line + "\n";
    EXPECT_THAT(said(text), AllOf(Not(IsEmpty()), Not(HasSubstr("TopSecret"))));
  }
}

TEST(Load, MlKemPolicyWarnings) {
  EXPECT_THAT(said(with_tunnel("ike = [\"aes256gcm16-prfsha384-x25519\"]")),
              HasSubstr("warning: [[tunnel]] berlin: ike: no proposal has ML-KEM"));
  EXPECT_THAT(said(with_tunnel("ike = [\"aes256gcm16-prfsha384-x25519\"]\npq = \"off\"")), IsEmpty());
  EXPECT_THAT(said(kGateway + "user = \"root\"\n[[tunnel]]\n"),
              AllOf(HasSubstr("warning: [gateway]: user = \"root\""), HasSubstr("error")));
}

TEST(Load, NumberOfProblemsIsBounded) {
  std::string text = kGateway;
  for (int i = 0; i < 300; ++i) text += fmt::format("nonsense{} = 1\n", i);
  const auto loaded = load_text(text);
  ASSERT_FALSE(loaded.has_value());
  EXPECT_THAT(loaded.error(), SizeIs(101));
  EXPECT_THAT(render_problems(loaded.error()), HasSubstr("more than 100 problems"));
}

TEST(Load, OversizedFile) {
  EXPECT_THAT(said(std::string(kMaxConfigSize + 1, '#')), HasSubstr("qanat.toml: error: the file has "));
}

TEST(Load, ThousandsOfTunnelsLoad) {
  std::string text = kGateway;
  for (int i = 0; i < 4000; ++i) {
    text += fmt::format(
        "[[tunnel]]\nname = \"t{0}\"\npeer = \"any\"\nremote_id = \"keyid:{0}\"\npsk_file = \"good.psk\"\ninterface = "
        "\"10.{1}.{2}.{3}/31\"\n",
        i, 100 + i / 32768, (i / 128) % 256, (i % 128) * 2);
  }
  const auto loaded = load_text(text);
  ASSERT_TRUE(loaded.has_value()) << render_problems(loaded.error());
  EXPECT_THAT(loaded->config.tunnels, SizeIs(4000));
}

// A short run of what tests/fuzz/fuzz_config.cpp does for long: nothing here may end the process.
TEST(Load, MutatedFilesNeverCrash) {
  const std::string good = example();
  const std::string_view alphabet = "[]{}=\"'\\\n\t#,._-:/0123456789abcxu\0\xff\x1b";
  SeededRng rng{0x7a11};
  for (int round = 0; round < 3000; ++round) {
    std::string text = good;
    for (std::uint64_t edits = 1 + rng.below(8); edits > 0 && !text.empty(); --edits) {
      const std::size_t at = rng.below(text.size());
      switch (rng.below(4)) {
        case 0:
          text[at] = alphabet[rng.below(alphabet.size())];
          break;
        case 1:
          text.erase(at, 1 + rng.below(20));
          break;
        case 2:
          text.insert(at, text.substr(rng.below(text.size()), rng.below(60)));
          break;
        default:
          text.insert(at, 1, static_cast<char>(rng.below(256)));
          break;
      }
    }
    const auto loaded = load(text, "mutated.toml", read_fake);
    const std::string shown = loaded ? render_problems(loaded->warnings) : render_problems(loaded.error());
    ASSERT_TRUE(loaded || !shown.empty());
    for (const char c : shown) ASSERT_TRUE(c == '\n' || (c >= 0x20 && c < 0x7f));
  }
  for (int round = 0; round < 2000; ++round) {
    const Bytes noise = rng.bytes(rng.below(300));
    EXPECT_FALSE(
        load(std::string_view{reinterpret_cast<const char*>(noise.data()), noise.size()}, "noise.toml", read_fake)
            .has_value());
  }
}

// toml++ works recursively: what is nested must be bounded before.
TEST(Load, DeepNestingIsAnError) {
  EXPECT_TRUE(fails("x = " + std::string(1'000'000, '[')));
  EXPECT_TRUE(fails("x = " + std::string(1'000'000, '{')));
  std::string dotted = "a";
  for (int i = 0; i < 1'000'000; ++i) dotted += ".a";
  for (const std::string before :
       {"", "[", "x = { ", "x = \"\"\"a\"\"\"\"\"\n", "x = 'a\\'\n", "# \"\n\"a\\\"b\".", "x = '''\n'''\n"}) {
    EXPECT_TRUE(fails(before + dotted + " = 1\n")) << before;
    EXPECT_THAT(said(before + dotted + " = 1\n"), HasSubstr("a key has more than 15 parts")) << before;
  }
  EXPECT_THAT(said("[gateway]\n" + dotted + " = 1\n"),
              HasSubstr("qanat.toml:2:30: error: this is not TOML: a key has more"));
}

TEST(Load, DotsInStringsAndCommentsAreNoKeys) {
  std::string routes = "# a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a\nroutes = [";
  for (int i = 0; i < 200; ++i) routes += fmt::format("\"10.{}.0.0/16\", ", i);
  EXPECT_FALSE(fails(with_tunnel(routes + "]")));
}

TEST(Load, OtherScripts) {
  const std::string nbsp = "\xc2\xa0";
  const std::string quote = "\xe2\x80\x9c";
  EXPECT_THAT(said("[gateway]\naddress" + nbsp + "= \"203.0.113.1\"\n"),
              HasSubstr("qanat.toml:2:8: error: this is not TOML: a character that is not plain ASCII"));
  EXPECT_THAT(said("[gateway]\naddress = " + quote + "203.0.113.1" + quote + "\n"),
              HasSubstr("qanat.toml:2:11: error"));
  // Undefined behaviour of toml++ 3.3.
  EXPECT_TRUE(fails("x = \"\"\"a\\\n\xc3\xb6\"\"\"\n"));
  EXPECT_TRUE(fails("x = 7\"\xd1\x8d\"\n"));
  EXPECT_TRUE(fails("x = \"a\"\xc3\xb6\n"));
  EXPECT_FALSE(fails("\xef\xbb\xbf" + with_tunnel("# K\xc3\xb6ln\nremote_id = \"keyid:K\xc3\xb6ln\" # \xe2\x82\xac")));
  EXPECT_TRUE(fails("[gateway]\naddress = \"\xff\"\n")) << "no UTF-8";
}

// Broken invariants of toml++ 3.3: an abort in a debug build, undefined behaviour in some others.
TEST(Load, HeadersWithoutANameAreAnError) {
  for (const char* text : {"[[=", "[[[1]]]", "[=]", "[[[", "x = 1\n [[ .a ]]\n"}) {
    EXPECT_TRUE(fails(text)) << text;
    EXPECT_THAT(said(text), HasSubstr("this is not TOML")) << text;
  }
  EXPECT_THAT(said("x = 1\n[[=]]\n"), HasSubstr("qanat.toml:2:3: error: this is not TOML: a name was expected"));
}

}  // namespace
}  // namespace qanat::config::testing
