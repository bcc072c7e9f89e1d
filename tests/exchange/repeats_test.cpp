// What a retransmission costs us: whoever has seen a request can send it again, from anywhere.
#include "exchange/peers.hpp"

namespace qanat::exchange {
namespace {

// A's IKE_AUTH is small, B's answer is a chain of certificates. Nobody gains a flood by the first datagram of it.
TEST_F(Peers, ARepeatedRequestFromElsewhereIsAnsweredOnceASecond) {
  a.tunnel.fragment_size = b.tunnel.fragment_size = 576;
  handshake();
  expect_tunnel();
  std::optional<Flight> request;
  std::size_t answers = 0;  // datagrams of B's answer
  for (const Flight& f : sent) {
    if (f.from == 'A' && !request && name_of(f).find("IKE_AUTH request") != std::string::npos) request = f;
    answers += f.from == 'B' && name_of(f).find("IKE_AUTH response") != std::string::npos;
  }
  ASSERT_TRUE(request.has_value());
  ASSERT_GT(answers, 0U);

  const ike::Path victim{request->path.remote, {IpAddress::v4(0xcb007107), 4500}};
  for (int i = 0; i < 100; ++i) arrive('B', victim, request->bytes);
  EXPECT_EQ(wire.size(), answers) << "the peer may have moved: one answer";
  EXPECT_EQ(b.count(Counter::repeated_elsewhere), 99U);
  wire.clear();
  now = now + 999ms;
  arrive('B', victim, request->bytes);
  EXPECT_TRUE(wire.empty());
  now = now + 1ms;
  arrive('B', victim, request->bytes);
  EXPECT_EQ(wire.size(), answers);
  wire.clear();

  // Where the request came from every copy is answered, as before.
  for (int i = 0; i < 3; ++i) arrive(*request);
  EXPECT_EQ(wire.size(), 3 * answers);
}

// A NAT that forgets its mapping between two sends of one request does no harm.
TEST_F(Peers, ARepeatedRequestFromANewPortIsAnsweredThere) {
  handshake();
  a.endpoint->rekey_children(now, a.tunnel.id);
  drain();
  a_sends("CREATE_CHILD_SA request 3");
  const Flight first = sent.at(sent.size() - 2);
  ASSERT_EQ(first.from, 'A');
  b_sends_lost("CREATE_CHILD_SA response 3");
  ike::Path moved = first.path;
  moved.local.port = 61234;
  arrive('B', {moved.remote, moved.local}, first.bytes);
  expect_next('B', "CREATE_CHILD_SA response 3");
  EXPECT_EQ(wire.front().path.remote, moved.local);
}

}  // namespace
}  // namespace qanat::exchange
