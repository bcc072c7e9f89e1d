// The commands against a false shell: what goes to which stream, and the exit code.
#include "cli/run.hpp"

#include <map>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/bundle.hpp"
#include "control/control_testing.hpp"
#include "control/reload_json.hpp"
#include "control/status_json.hpp"

namespace qanat::cli {
namespace {

using control::GatewayCommand;
using control::Reply;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

class Run : public ::testing::Test {
 protected:
  Run() {
    shell_.version = "0.1.0";
    shell_.rng = &rng_;
    shell_.now = [] { return WallTime{1'790'000'000}; };
    shell_.out = [this](std::string_view text) { out_ += text; };
    shell_.err = [this](std::string_view text) { err_ += text; };
    shell_.owner_of = [](const std::string&) { return std::string{"user root, group netops"}; };
    // The daemon's own API answers.
    shell_.exchange = [this](const std::string&, const control::Request& request,
                             std::chrono::seconds) -> std::expected<Reply, ClientError> {
      if (fault_) return std::unexpected(ClientError{*fault_, "the system's words"});
      if (raw_) return *raw_;
      const auto answer = control::handle(request, control::testing::full_snapshot());
      if (const auto* reply = std::get_if<Reply>(&answer)) return *reply;
      return control::reply_for(std::get<GatewayCommand>(answer), result_);
    };
    shell_.read_file = [this](const std::string& path) -> Result<std::string> {
      if (files_.contains(path)) return files_[path];
      return fail(ErrorKind::Resource, path, path + " is not there");
    };
    shell_.key_reader = [this](const std::string&) -> config::FileReader {
      return [this](const std::string& path) -> Result<SecretBytes> {
        if (files_.contains(path)) return SecretBytes::copy_of(to_bytes(std::string_view{files_[path]}));
        return fail(ErrorKind::Resource, path, path + " is not there");
      };
    };
    shell_.pause = [this](std::chrono::seconds) { return ++pauses_ < 3; };
    shell_.make_folder = [](const std::string&) -> Status { return {}; };
    shell_.run_program = [](const std::vector<std::string>& command) -> Result<std::string> {
      return "what " + command.front() + " says, with qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA in it\n";
    };
    shell_.write_new_file = [this](const std::string& path, ByteView content) -> Status {
      if (files_.contains(path)) return fail(ErrorKind::Resource, path, path + " is there already");
      files_[path] = std::string{reinterpret_cast<const char*>(content.data()), content.size()};
      return {};
    };
  }

  int go(std::vector<std::string> args) {
    out_.clear();
    err_.clear();
    const auto parsed = parse_command_line(std::move(args));
    if (const auto* end = std::get_if<Stop>(&parsed)) return stop(*end, shell_);
    return run(std::get<CommandLine>(parsed), shell_);
  }

  SeededRng rng_{1};
  Shell shell_;
  std::map<std::string, std::string> files_;
  std::optional<ClientFault> fault_;
  std::optional<Reply> raw_;
  control::CommandResult result_{true, "berlin is up: hybrid x25519+mlkem768"};
  int pauses_ = 0;
  std::string out_;
  std::string err_;
};

TEST_F(Run, Status) {
  EXPECT_EQ(go({"status"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("NAME"), HasSubstr("berlin  up")));
  EXPECT_THAT(err_, IsEmpty());
  EXPECT_EQ(go({"status", "berlin"}), kOk);
  EXPECT_THAT(out_, HasSubstr("Handshake"));
  EXPECT_EQ(go({"status", "--json"}), kOk);
  EXPECT_EQ(out_, control::to_json(control::testing::full_snapshot()));
  EXPECT_EQ(go({"status", "berlin", "--json"}), kOk);
  EXPECT_EQ(out_, control::to_json(control::testing::berlin()));
}

TEST_F(Run, WatchLooksAgainUntilItIsStopped) {
  EXPECT_EQ(go({"watch"}), kOk);
  EXPECT_EQ(pauses_, 3);
  EXPECT_THAT(out_,
              AllOf(HasSubstr("ROUND TRIP"), HasSubstr("berlin"), HasSubstr("2 of 3 up"), Not(HasSubstr("\x1b"))));
  shell_.terminal = true;
  EXPECT_EQ(go({"watch", "berlin", "--count", "1"}), kOk);
  EXPECT_THAT(out_, AllOf(::testing::StartsWith("\x1b[H"), HasSubstr("\x1b[K\n"), ::testing::EndsWith("\x1b[J"),
                          Not(HasSubstr("oslo"))));
  EXPECT_EQ(go({"watch", "nobody", "--count", "1"}), kFailed);
  EXPECT_EQ(go({"watch", "--interval", "0"}), kUsage);
}

TEST_F(Run, Explain) {
  EXPECT_EQ(go({"explain", "berlin"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("we began it"), HasSubstr("1.  IKE_SA_INIT (x25519)"),
                          HasSubstr("1281 B in 2 fragments"), HasSubstr("we offered: 1: aes256gcm16"),
                          HasSubstr("chosen: aes256gcm16-prfsha384, x25519 + mlkem768")));
  EXPECT_EQ(go({"explain", "oslo"}), kOk);
  EXPECT_THAT(out_,
              AllOf(HasSubstr("what to do: the peer's software must know RFC 9242"), HasSubstr("(no_intermediate)")));
  EXPECT_EQ(go({"explain", "paris"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("NO_PROPOSAL_CHOSEN"), HasSubstr("The last attempt that failed"),
                          HasSubstr("no answer"), HasSubstr("let UDP 500 and 4500")));
  EXPECT_EQ(go({"explain"}), kUsage);
}

TEST_F(Run, Posture) {
  EXPECT_EQ(go({"posture"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("HARVESTABLE"), HasSubstr("oslo: no_intermediate"), HasSubstr("5.0 GB"),
                          HasSubstr("it was hybrid before"), HasSubstr("2 up: 1 hybrid, 0 with a PPK, 1 classical")));
  EXPECT_EQ(go({"posture", "--csv"}), kOk);
  EXPECT_THAT(out_,
              AllOf(::testing::StartsWith("tunnel,state,policy,keys,"),
                    HasSubstr("oslo,up,prefer,classical,x25519,no_intermediate,"), HasSubstr(",5000000000,3600,")));
  EXPECT_EQ(go({"posture", "--json"}), kOk);
  EXPECT_EQ(out_, control::to_json(control::posture_of(control::testing::full_snapshot())));
}

TEST_F(Run, EventsAndRoutes) {
  EXPECT_EQ(go({"events"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("2026-"), HasSubstr("tunnel-up berlin detail=hybrid"), HasSubstr("purge")));
  EXPECT_EQ(go({"events", "berlin"}), kOk);
  EXPECT_THAT(out_, Not(HasSubstr("purge")));
  EXPECT_EQ(go({"routes"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("10.1.0.0/16"), HasSubstr("100 + 5"), HasSubstr("kernel"), HasSubstr("refused")));
  EXPECT_EQ(go({"route", "get", "10.1.2.3"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("through berlin"), HasSubstr("by 10.1.0.0/16")));
  EXPECT_EQ(go({"route", "get", "192.0.2.1"}), kOk);
  EXPECT_THAT(out_, HasSubstr("dropped: no tunnel leads there"));
  EXPECT_EQ(go({"route", "get", "10.1.2.3", "--vrf", "blue", "--from", "10.9.0.1"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("vrf = 'blue'"));
  EXPECT_EQ(go({"route", "get", "nowhere"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("must be an IP address"));
  EXPECT_EQ(go({"route"}), kUsage);
  EXPECT_EQ(go({"metrics"}), kOk);
  EXPECT_THAT(out_, HasSubstr("# TYPE qanat_tunnel_up gauge\n"));
}

TEST_F(Run, Policy) {
  EXPECT_EQ(go({"policy"}), kOk);
  EXPECT_THAT(out_,
              AllOf(HasSubstr("RULE"), HasSubstr("no-telnet"), HasSubstr("drop"), HasSubstr("12"), HasSubstr("960 B")));
  EXPECT_EQ(go({"policy", "--json"}), kOk);
  EXPECT_EQ(out_, control::policy_to_json(control::testing::full_snapshot().policy));
}

TEST_F(Run, Ping) {
  result_ = {true, "", control::PingStatus{"berlin", "10.255.0.0", "10.255.0.1", true, 1.25}};
  EXPECT_EQ(go({"ping", "berlin", "-c", "2"}), kOk);
  EXPECT_EQ(out_,
            "1: from 10.255.0.1 to 10.255.0.0: 1.25 ms\n2: from 10.255.0.1 to 10.255.0.0: 1.25 ms\n"
            "berlin: 2 sent, 2 answered, 0 % lost; round trip least 1.25, mean 1.25, most 1.25 ms\n");
  EXPECT_EQ(pauses_, 1) << "one a second";
  result_ = {true, "", control::PingStatus{"berlin", "10.255.0.0", "10.255.0.1", false, std::nullopt}};
  EXPECT_EQ(go({"ping", "berlin", "-c", "1"}), kFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("no answer from 10.255.0.1"), HasSubstr("1 sent, 0 answered, 100 % lost\n")));
  EXPECT_EQ(go({"ping", "berlin", "-c", "1", "--json"}), kFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("\"answered\": 0"), HasSubstr("\"milliseconds\": null")));
  result_ = {false, "berlin is not up: waits for the peer", {}};
  EXPECT_EQ(go({"ping", "berlin"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("berlin is not up"));
  EXPECT_EQ(go({"ping"}), kUsage);
  EXPECT_EQ(go({"ping", "berlin", "-c", "0"}), kUsage);
}

TEST_F(Run, APinIsForgottenOnlyByWhoSaysTheNameTwice) {
  result_ = {true, "it is forgotten"};
  EXPECT_EQ(go({"posture", "forget", "berlin"}), kUsage);
  EXPECT_THAT(err_, HasSubstr("qanat posture forget berlin --confirm berlin"));
  EXPECT_EQ(go({"posture", "forget", "berlin", "--confirm", "oslo"}), kUsage);
  EXPECT_EQ(go({"posture", "forget", "berlin", "--confirm", "berlin"}), kOk);
  EXPECT_EQ(out_, "it is forgotten\n");
  EXPECT_EQ(go({"posture", "forget", "nobody", "--confirm", "nobody"}), kFailed);
  EXPECT_EQ(go({"posture", "forget"}), kUsage);
  EXPECT_EQ(go({"posture"}), kOk) << "it is still a table without it";
}

constexpr const char* kSecret = "qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

TEST_F(Run, NoSecretIsInTheBundle) {
  files_["/etc/qanat/qanat.toml"] = fmt::format(
      "[gateway]\naddress = \"203.0.113.1\"\n[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\" # not {0}\n"
      "psk = \"{0}\"\ninterface = \"10.255.0.0/31\"\nroutes = [\"10.1.0.0/16\"]\n",
      kSecret);
  EXPECT_EQ(go({"debug", "bundle", "-o", "out"}), kOk) << err_;
  EXPECT_THAT(files_["out/config.toml"], AllOf(HasSubstr("name = \"berlin\""), HasSubstr("psk = \"(removed)\""),
                                               HasSubstr("routes = [\"10.1.0.0/16\"]")));
  EXPECT_THAT(files_["out/status.json"], HasSubstr("berlin"));
  EXPECT_THAT(files_["out/ip-rule.txt"], HasSubstr("left out")) << "the false program prints the key";
  for (const auto& [name, content] : files_) {
    if (!name.starts_with("out/")) continue;
    EXPECT_THAT(content, Not(HasSubstr(kSecret))) << name;
  }
  EXPECT_EQ(go({"debug", "bundle", "-o", "out"}), kFailed) << "nothing is overwritten";
  fault_ = ClientFault::NoSocket;
  EXPECT_EQ(go({"debug", "bundle", "-o", "down", "-c", "/nowhere"}), kOk) << "it helps most when the daemon is down";
  EXPECT_THAT(files_["down/status.json"], HasSubstr("not reached"));
}

TEST(WithoutSecrets, OfEveryFormThatTomlHas) {
  for (const char* text :
       {"psk = \"S3cret\"\nname = 'kept'", "psk='S3cret'\nname = 'kept'", "\"psk\" = \"a\\\"S3cret\"\nname = 'kept'",
        "psk = \"\"\"\nS3cret\n\"\"\"\nname = 'kept'", "ppk = '''\nS3'cret S3cret'''\nname = 'kept'",
        "auth = { psk = \"S3cret\", name = 'kept' }", "psk = [ \"S3cret\", [\"S3cret\"],\n \"S3cret\" ]\nname = 'kept'",
        "a.b.psk = \"S3cret\"\nname = 'kept'", "# S3cret\nname = 'kept'", "name = 'kept' # \"S3cret\"",
        "md5_key = \"S3cret\"\nname = 'kept'", "psk = S3cret\nname = 'kept'", "psk = x=S3cret\nname = 'kept'",
        "psk = { a = \"S3cret\" }\nname = 'kept'", "name = 'kept'\npsk = \"S3cret",
        "name = 'kept'\nx = \"a\npsk = \"S3cret\"", "name = 'kept'\npsk = \"\"\"S3cret"}) {
    const std::string out = without_secrets(text);
    EXPECT_THAT(out, Not(HasSubstr("cret"))) << text;
    EXPECT_THAT(out, HasSubstr("kept")) << text;
  }
  EXPECT_EQ(without_secrets("psk_file = \"a.psk\"\nppk_id = \"b\"\n"), "psk_file = \"a.psk\"\nppk_id = \"b\"\n");
}

TEST_F(Run, UnknownTunnel) {
  EXPECT_EQ(go({"status", "berlim"}), kFailed);
  EXPECT_EQ(err_, "qanat: there is no tunnel 'berlim'; did you mean 'berlin'?\n");
  EXPECT_THAT(out_, IsEmpty());
  EXPECT_EQ(go({"up", "a/b?x=1"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("there is no tunnel 'a/b?x=1'"));
  EXPECT_EQ(go({"status", "berlim", "--json"}), kFailed);
  EXPECT_EQ(control::error_from_json(out_)->code, "not_found");
  EXPECT_THAT(err_, IsEmpty());
}

TEST_F(Run, UpAndDown) {
  EXPECT_EQ(go({"up", "berlin"}), kOk);
  EXPECT_EQ(out_, "berlin is up: hybrid x25519+mlkem768\n");
  EXPECT_EQ(go({"up", "berlin", "--json"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("\"ok\": true"), HasSubstr("\"tunnel\": \"berlin\"")));
  result_ = {false, "the peer does not answer: is UDP port 500 open?"};
  EXPECT_EQ(go({"down", "berlin"}), kFailed);
  EXPECT_EQ(err_, "qanat: the peer does not answer: is UDP port 500 open?\n");
  EXPECT_EQ(go({"up", "berlin", "--json"}), kFailed);
  EXPECT_EQ(control::error_from_json(out_)->code, "up_failed");
}

TEST_F(Run, DaemonThatCannotBeReached) {
  const std::pair<ClientFault, const char*> cases[] = {
      {ClientFault::NoSocket, "systemctl start qanatd"},    {ClientFault::NobodyListens, "journalctl -u qanatd"},
      {ClientFault::NotAllowed, "user root, group netops"}, {ClientFault::NoAnswer, "does not answer"},
      {ClientFault::NoHttp, "does not speak HTTP"},         {ClientFault::Other, "the system's words"}};
  for (const auto& [fault, message] : cases) {
    fault_ = fault;
    EXPECT_EQ(go({"status", "--socket", "/tmp/q.sock"}), kUnreachable);
    EXPECT_THAT(err_, AllOf(HasSubstr(message), HasSubstr("/tmp/q.sock")));
    EXPECT_EQ(go({"up", "berlin", "--json"}), kUnreachable);
    EXPECT_EQ(control::error_from_json(out_)->code, "unreachable");
    EXPECT_THAT(err_, IsEmpty());
  }
}

TEST_F(Run, AnswersThatCannotBeRead) {
  for (const Reply& reply : {Reply{200, {}, "<html>"}, Reply{200, {}, ""}, Reply{500, {}, "oops"}, Reply{302, {}, "{}"},
                             Reply{200, {}, "[1]"}}) {
    raw_ = reply;
    for (const char* command : {"status", "purge"}) {
      EXPECT_EQ(go({command}), kFailed);
      EXPECT_THAT(err_, Not(IsEmpty()));
      EXPECT_EQ(go({command, "--json"}), kFailed);
      EXPECT_EQ(control::error_from_json(out_)->code, "bad_reply");
    }
    EXPECT_EQ(go({"status", "berlin"}), kFailed);
  }
}

TEST_F(Run, Check) {
  files_["good.toml"] =
      "[gateway]\naddress = \"203.0.113.1\"\n[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\npsk_file = "
      "\"b.psk\"\n";
  files_["b.psk"] = "0123456789abcdef0123456789\n";
  EXPECT_EQ(go({"check", "good.toml"}), kOk);
  EXPECT_EQ(out_, "good.toml is fine: 1 tunnel (1 with pq = prefer)\n");
  EXPECT_THAT(err_, IsEmpty());
  EXPECT_EQ(go({"check", "good.toml", "--json"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("\"ok\": true"), HasSubstr("\"tunnels\": 1"), HasSubstr("\"problems\": []")));

  files_["bad.toml"] = "[gateway]\naddres = \"203.0.113.1\"\n";
  EXPECT_EQ(go({"check", "bad.toml"}), kFailed);
  EXPECT_THAT(err_,
              AllOf(HasSubstr("bad.toml:2:1: error: unknown key 'addres' in [gateway]; did you mean 'address'?\n"),
                    HasSubstr("bad.toml: 2 errors; the daemon would not start\n")));
  EXPECT_THAT(out_, IsEmpty());
  EXPECT_EQ(go({"check", "bad.toml", "--json"}), kFailed);
  EXPECT_THAT(out_, AllOf(HasSubstr("\"ok\": false"), HasSubstr("\"line\": 2"), HasSubstr("\"severity\": \"error\"")));
  EXPECT_EQ(go({"check", "none.toml"}), kFailed);
  EXPECT_EQ(err_, "qanat: none.toml is not there\n");
}

TEST_F(Run, GenPsk) {
  EXPECT_EQ(go({"genpsk"}), kOk);
  EXPECT_TRUE(model::PresharedKey{SecretBytes::copy_of(to_bytes(std::string_view{out_}.substr(0, out_.size() - 1)))}
                  .is_generated())
      << out_;
  const std::string first = out_;
  EXPECT_EQ(go({"genpsk"}), kOk);
  EXPECT_NE(out_, first);
  EXPECT_EQ(go({"genpsk", "--json"}), kOk);
  EXPECT_THAT(out_, HasSubstr("\"psk\": \"qpsk1-"));
  EXPECT_EQ(go({"genpsk", "-o", "new.psk"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("wrote new.psk"), Not(HasSubstr("qpsk1-"))));
  EXPECT_EQ(files_["new.psk"].size(), 50U);
  EXPECT_EQ(go({"genpsk", "-o", "new.psk"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("there already"));
  EXPECT_EQ(go({"genpsk", "-o", "other.psk", "--json"}), kOk);
  EXPECT_THAT(out_, AllOf(HasSubstr("\"file\": \"other.psk\""), Not(HasSubstr("qpsk1-"))));
}

TEST_F(Run, Purge) {
  result_ = {true, "removed 3 routes and 2 rules"};
  EXPECT_EQ(go({"purge"}), kOk);
  EXPECT_EQ(out_, "removed 3 routes and 2 rules\n");
  fault_ = ClientFault::NoSocket;
  EXPECT_EQ(go({"purge"}), kUnreachable);
  EXPECT_THAT(err_, AllOf(HasSubstr("Nothing was removed"), HasSubstr("systemctl start qanatd")));
}

TEST_F(Run, Version) {
  EXPECT_EQ(go({"version"}), kOk);
  EXPECT_EQ(out_, "qanat 0.1.0\nqanatd 0.1.0 (OpenSSL 3.5.4, packets by ipsec-mb 1.3)\n");
  EXPECT_EQ(go({"version", "--json"}), kOk);
  EXPECT_THAT(out_, HasSubstr("\"crypto\": \"OpenSSL"));
  fault_ = ClientFault::NoSocket;
  EXPECT_EQ(go({"version"}), kOk);
  EXPECT_THAT(out_, HasSubstr("qanatd was not reached"));
  EXPECT_EQ(go({"version", "--json"}), kOk);
  EXPECT_THAT(out_, HasSubstr("\"daemon\": null"));
}

TEST_F(Run, UsageErrorsInBothForms) {
  EXPECT_EQ(go({"stauts"}), kUsage);
  EXPECT_EQ(err_, "qanat: unknown command 'stauts'; did you mean 'status'?\n");
  EXPECT_EQ(go({"stauts", "--json"}), kUsage);
  EXPECT_EQ(control::error_from_json(out_)->code, "usage");
  EXPECT_EQ(go({"--help"}), kOk);
  EXPECT_THAT(out_, HasSubstr("Exit codes"));
}

TEST_F(Run, Reload) {
  control::ReloadReport said{"/etc/qanat/qanat.toml", true, true, "it is in force: 1 change", "a warning\n", {}};
  said.changes.push_back({"tunnel", "berlin", {"mss", "dpd"}, "in place", "in place, live SAs go on"});
  raw_ = control::reload_reply(said);
  EXPECT_EQ(go({"reload"}), kOk);
  EXPECT_EQ(out_, "tunnel berlin  mss dpd  in place, live SAs go on\nit is in force: 1 change\n");
  EXPECT_EQ(err_, "a warning\n");
  EXPECT_EQ(go({"reload", "--json"}), kOk);
  EXPECT_EQ(out_, control::to_json(said));

  said = {
      "/etc/qanat/qanat.toml", false, false, "it has 1 error", "qanat.toml:1:1: error: what\x1b\n  hint: this\n", {}};
  raw_ = control::reload_reply(said);
  EXPECT_EQ(raw_->status, 409);
  EXPECT_EQ(go({"reload"}), kFailed);
  EXPECT_EQ(err_, "qanat.toml:1:1: error: what\\x1b\n  hint: this\nit has 1 error\n");
  fault_ = ClientFault::NoSocket;
  EXPECT_EQ(go({"reload"}), kUnreachable);
}

TEST_F(Run, CheckDiffAgainstTheDaemon) {
  raw_ = control::reload_reply({"/etc/qanat/qanat.toml", true, false, "nothing changes", "", {}});
  EXPECT_EQ(go({"check", "--diff", "/etc/qanat/qanat.toml"}), kOk);
  EXPECT_EQ(out_, "nothing changes\n");
  EXPECT_EQ(go({"check", "--diff", "other.toml"}), kFailed);
  EXPECT_THAT(err_, AllOf(HasSubstr("qanatd runs by /etc/qanat/qanat.toml"),
                          HasSubstr("--diff other.toml --old /etc/qanat/qanat.toml")));
  EXPECT_EQ(go({"check", "--old", "a.toml", "b.toml"}), kUsage);
}

TEST_F(Run, CheckDiffOfTwoFiles) {
  const std::string head =
      "[gateway]\naddress = \"203.0.113.1\"\n[[tunnel]]\nname = \"berlin\"\npeer = \"198.51.100.7\"\n";
  files_["berlin.psk"] = "qpsk1-AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
  files_["old.toml"] = head + "psk_file = \"berlin.psk\"\n";
  files_["new.toml"] = files_["old.toml"] + "child_lifetime = \"30m\"\nroutes = [\"10.1.0.0/16\"]\n";
  fault_ = ClientFault::NoSocket;
  EXPECT_EQ(go({"check", "--diff", "new.toml", "--old", "old.toml"}), kOk);
  EXPECT_EQ(out_,
            "tunnel berlin                 routes          in place, live SAs go on\n"
            "tunnel berlin                 child_lifetime  new keys at once, inside the IKE SA, nothing is lost\n"
            "route 10.1.0.0/16 via berlin                  added\n"
            "3 changes\n");
  files_["new.toml"] += "rotues = []\n";
  EXPECT_EQ(go({"check", "--diff", "new.toml", "--old", "old.toml"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("did you mean 'routes'"));
  EXPECT_EQ(go({"check", "--diff", "new.toml", "--old", "gone.toml"}), kFailed);
  EXPECT_THAT(err_, HasSubstr("gone.toml is not there"));
}

TEST_F(Run, CompletionNamesTunnels) {
  EXPECT_EQ(go({"completion", "tunnels"}), kOk);
  EXPECT_THAT(out_, HasSubstr("berlin\n"));
  fault_ = ClientFault::NoSocket;
  EXPECT_EQ(go({"completion", "tunnels"}), kUnreachable);
  EXPECT_THAT(out_ + err_, IsEmpty()) << "nobody wants an error while typing";
  EXPECT_EQ(go({"completion", "bash"}), kOk);
  EXPECT_THAT(out_, HasSubstr("complete -F _qanat qanat\n"));
  EXPECT_EQ(go({"completion", "fish"}), kUsage);
}

}  // namespace
}  // namespace qanat::cli
