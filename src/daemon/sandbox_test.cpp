#include "daemon/sandbox.hpp"

#include <csignal>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "io/clock.hpp"
#include "io/event_loop.hpp"
#include "io/http_server.hpp"
#include "io/mailbox.hpp"
#include "io/udp_socket.hpp"

namespace qanat::daemon {
namespace {

const io::Log& quiet() {
  static const io::Log log({io::LogFormat::Human, io::LogLevel::Error});
  return log;
}

// The wait status of a child that ran `body`: what a sandbox does cannot be undone.
int in_child(const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "rights can be dropped only by root";
  }
};

void expect_success(int status) {
  EXPECT_TRUE(WIFEXITED(status)) << "ended by signal " << WTERMSIG(status);
  EXPECT_EQ(WEXITSTATUS(status), 0) << "the number of the step that failed";
}

// ThreadSanitizer has a thread of its own, and the sandbox refuses to be entered beside other threads.
#ifdef __SANITIZE_THREAD__
#define QANAT_NEEDS_ONE_THREAD() GTEST_SKIP() << "ThreadSanitizer's own thread is in the way"
#else
#define QANAT_NEEDS_ONE_THREAD() static_cast<void>(0)
#endif

TEST_F(Sandbox, LeavesNothingToAnIntruder) {
  QANAT_NEEDS_ONE_THREAD();
  expect_success(in_child([] {
    if (!keep_secrets_in_memory(quiet())) return 1;
    if (!enter_sandbox({"no-such-user", {}}, quiet())) return 2;
    const auto self = check_self();
    if (!self) return 3;
    if (self->uid != 65534 || self->gid != 65534) return 4;
    if (self->cap_effective != 0 || self->cap_permitted != 0 || self->cap_bounding != 0) return 5;
    if (self->cap_inheritable != 0 || self->cap_ambient != 0) return 6;
    if (self->no_new_privs != 1 || self->seccomp != 2 || self->dumpable || self->core_limit != 0) return 7;
    if (!self->confined()) return 8;
    rlimit memory{};
    if (::getrlimit(RLIMIT_MEMLOCK, &memory) != 0) return 9;
    if (memory.rlim_cur == RLIM_INFINITY && self->locked_kib == 0) return 10;
    if (::getgroups(0, nullptr) > 0) return 18;
    // No new sockets, processes, files or rights.
    if (::socket(AF_INET, SOCK_DGRAM, 0) != -1 || errno != EPERM) return 11;
    if (::socket(AF_UNIX, SOCK_STREAM, 0) != -1) return 12;
    if (::fork() != -1 || errno != EPERM) return 13;
    if (::open("/tmp/qanat-sandbox-test", O_CREAT | O_WRONLY, 0600) != -1) return 14;
    if (::open("/etc/shadow", O_RDONLY) != -1) return 15;
    if (::setsid() != -1) return 16;
    if (::kill(1, 0) != -1) return 17;
    return 0;
  }));
}

TEST_F(Sandbox, LetsWebhooksConnectAndNothingElse) {
  QANAT_NEEDS_ONE_THREAD();
  expect_success(in_child([] {
    if (!enter_sandbox({"no-such-user", {}, true}, quiet())) return 1;
    const int tcp = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (tcp < 0 || ::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) < 0) return 2;
    addrinfo* list = nullptr;
    if (::getaddrinfo("localhost", "443", nullptr, &list) != 0) return 3;
    if (::connect(tcp, list->ai_addr, list->ai_addrlen) == -1 && errno == EPERM) return 4;
    if (::socket(AF_INET, SOCK_RAW, IPPROTO_ICMP) != -1 || errno != EPERM) return 5;
    if (::socket(AF_UNIX, SOCK_STREAM, 0) != -1 || errno != EPERM) return 6;
    if (::socket(AF_NETLINK, SOCK_RAW, 0) != -1 || errno != EPERM) return 7;
    if (::socket(AF_PACKET, SOCK_DGRAM, 0) != -1 || errno != EPERM) return 8;
    const sockaddr_in any{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {}, .sin_zero = {}};
    if (::bind(tcp, reinterpret_cast<const sockaddr*>(&any), sizeof any) != -1 || errno != EPERM) return 9;
    if (::listen(tcp, 1) != -1 || errno != EPERM) return 10;
    return 0;
  }));
}

TEST_F(Sandbox, EndsWhatOnlyAnIntruderTries) {
  QANAT_NEEDS_ONE_THREAD();
  const std::vector<std::function<void()>> attempts{
      [] { ::execl("/bin/true", "true", nullptr); },
      [] { ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); },
      [] { (void)::unshare(CLONE_NEWUSER); },
      [] {
        if (::setresuid(0, 0, 0) == 0) ::_exit(3);
      },
  };
  for (const auto& attempt : attempts) {
    const int status = in_child([&] {
      if (!enter_sandbox({}, quiet())) return 1;
      attempt();
      return 2;
    });
    EXPECT_TRUE(WIFSIGNALED(status)) << "exit code " << WEXITSTATUS(status);
    EXPECT_EQ(WTERMSIG(status), SIGSYS);
    EXPECT_FALSE(WCOREDUMP(status));
  }
}

TEST_F(Sandbox, WritesOnlyWhereItMay) {
  QANAT_NEEDS_ONE_THREAD();
  char pattern[] = "/tmp/qanat-sandbox-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern), nullptr);
  const std::string dir = pattern;
  ASSERT_EQ(::chmod(dir.c_str(), 0777), 0);
  const std::string inside = dir + "/file";
  const std::string beside = dir + "-beside";
  expect_success(in_child([&] {
    if (!enter_sandbox({"no-such-user", {dir}}, quiet())) return 1;
    if (::open(inside.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600) < 0) return 2;
    if (::open(beside.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600) >= 0) return 3;
    return 0;
  }));
  ::unlink(inside.c_str());
  ::rmdir(dir.c_str());
}

// What the daemon does all day works behind the walls: its sockets, loop, mailboxes, threads and API.
TEST_F(Sandbox, LetsTheDaemonWork) {
#ifdef QANAT_SANITIZED
  GTEST_SKIP() << "the sanitizers' own checks need system calls that the sandbox forbids";
#endif
  char pattern[] = "/tmp/qanat-sandbox-XXXXXX";
  ASSERT_NE(::mkdtemp(pattern), nullptr);
  const std::string path = std::string(pattern) + "/sock";
  expect_success(in_child([&] {
    auto udp_fd = io::open_udp_socket({*IpAddress::parse("127.0.0.1"), 0}, 0x51, io::ReusePort::Yes);
    auto listener = io::open_control_socket(path, "");
    io::UniqueFd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!udp_fd || !listener) return 1;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path.c_str());
    if (::connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return 2;
    auto udp = io::UdpSocket::adopt(std::move(*udp_fd));
    if (!udp || !keep_secrets_in_memory(quiet()) || !enter_sandbox({}, quiet())) return 3;

    auto loop = io::EventLoop::create();
    if (!loop || !(*loop)->on_signals({SIGTERM}, [](int) {})) return 4;
    io::Mailbox<int> box;
    auto server = io::HttpServer::start(std::move(*listener), [&](control::Request r, const io::HttpServer::Peer& p,
                                                                  const io::HttpServer::Reply& reply) {
      box.post(1);
      reply({200, {}, r.target + (p.uid == 0 ? " from root" : "")});
    });
    if (!server) return 5;
    const std::string request = "GET /x HTTP/1.1\r\nHost: l\r\nConnection: close\r\n\r\n";
    if (::send(client.get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
      return 6;

    int received = 0;
    std::thread worker([&] {
      for (const io::Df df : {io::Df::Set, io::Df::Clear}) udp->send({}, udp->local(), 0, df, to_bytes("hi"));
    });
    worker.join();
    bool asked = false;
    bool timed_out = false;
    if (!(*loop)->add(udp->fd(), [&] { received += static_cast<int>(udp->receive().size()); })) return 7;
    if (!(*loop)->add(box.fd(), [&] { asked = !box.take_all().empty(); })) return 8;
    (*loop)->on_timer([&] {
      timed_out = true;
      (*loop)->stop();
    });
    (*loop)->set_timer(io::boot_now() + 300ms);
    if (!(*loop)->run()) return 9;
    if (received != 2 || !asked || !timed_out) return 10;
    char buffer[4096];
    std::string answer;
    while (const ssize_t n = ::recv(client.get(), buffer, sizeof buffer, 0)) {
      if (n < 0) return 11;
      answer.append(buffer, static_cast<std::size_t>(n));
    }
    if (answer.find("/x from root") == std::string::npos) return 12;
    server->reset();
    return 0;
  }));
  ::unlink(path.c_str());
  ::rmdir(pattern);
}

TEST_F(Sandbox, RefusesWhenOtherThreadsRun) {
  expect_success(in_child([] {
    std::thread sleeper([] { ::pause(); });
    const Status entered = enter_sandbox({}, quiet());
    sleeper.detach();
    return !entered && ::geteuid() == 0 ? 0 : 1;
  }));
}

TEST_F(Sandbox, LetsTheHelperKeepThreeCapabilities) {
  expect_success(in_child([] {
    if (!become({}, {{CAP_NET_ADMIN, CAP_NET_RAW, CAP_NET_BIND_SERVICE}, {CAP_NET_ADMIN}})) return 1;
    const auto self = check_self();
    const std::uint64_t three = 1U << CAP_NET_ADMIN | 1U << CAP_NET_RAW | 1U << CAP_NET_BIND_SERVICE;
    if (!self || self->uid != 65534 || self->gid != 65534) return 2;
    if (self->cap_effective != three || self->cap_permitted != three || self->cap_bounding != three) return 3;
    if (self->cap_ambient != 1U << CAP_NET_ADMIN || self->cap_inheritable != 1U << CAP_NET_ADMIN) return 4;
    if (self->no_new_privs != 1 || self->dumpable) return 5;
    return 0;
  }));
}

TEST(SelfCheck, ReadsThisProcess) {
  const auto self = check_self();
  ASSERT_TRUE(self);
  EXPECT_EQ(self->uid, ::getuid());
  EXPECT_GE(self->threads, 1);
  EXPECT_FALSE(self->confined());
}

}  // namespace
}  // namespace qanat::daemon
