#include "io/tls.hpp"

#include <gtest/gtest.h>

#include "io/tls_testing.hpp"

namespace qanat::io {
namespace {

using testing::make_context;
using testing::TlsClient;

ByteView view(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// Until neither has anything to say; what the server heard.
Status talk(TlsClient& client, TlsChannel& server, std::string& plain) {
  for (int turn = 0; turn < 20; ++turn) {
    client.handshake();
    const std::string there = client.take_output();
    if (!there.empty()) {
      if (const Status fed = server.feed(view(there), plain); !fed) return fed;
    }
    const std::string back = server.take_output();
    if (there.empty() && back.empty()) break;
    client.feed(back);
  }
  return {};
}

std::string group_with(const std::string& groups) {
  TlsClient client(groups);
  TlsChannel server(make_context());
  std::string plain;
  EXPECT_TRUE(talk(client, server, plain)) << groups;
  EXPECT_TRUE(server.is_open()) << groups;
  return server.group();
}

TEST(Tls, TakesTheHybridGroupWhereverTheClientHasIt) {
  EXPECT_EQ(group_with("X25519MLKEM768:X25519"), kHybridGroup);
  EXPECT_EQ(group_with(""), kHybridGroup) << "OpenSSL's own choice";
  // Its first message has a key of X25519 alone: it is asked again.
  EXPECT_EQ(group_with("*X25519:X25519MLKEM768"), kHybridGroup);
  EXPECT_EQ(group_with("X25519"), kClassicalGroup);
}

TEST(Tls, RefusesOtherGroupsAndOlderVersions) {
  for (const auto& [groups, newest] : {std::pair{"P-256:P-384", TLS1_3_VERSION}, std::pair{"MLKEM768", TLS1_3_VERSION},
                                       std::pair{"X25519", TLS1_2_VERSION}}) {
    TlsClient client(groups, newest);
    TlsChannel server(make_context());
    std::string plain;
    client.handshake();
    const Status fed = server.feed(view(client.take_output()), plain);
    ASSERT_FALSE(fed) << groups;
    EXPECT_EQ(fed.error().kind, ErrorKind::PeerIncompatible);
    EXPECT_FALSE(server.take_output().empty()) << "an alert tells the client";
    EXPECT_EQ(server.group(), "");
  }
}

TEST(Tls, CarriesOctetsBothWaysAndTheEnd) {
  TlsClient client;
  TlsChannel server(make_context());
  std::string plain;
  ASSERT_TRUE(talk(client, server, plain));
  EXPECT_EQ(plain, "");
  const std::string question(40'000, 'q');
  client.write(question.substr(0, 20'000));
  client.write(question.substr(20'000));
  // In small pieces, as a network may bring it.
  const std::string wire = client.take_output();
  for (std::size_t at = 0; at < wire.size(); at += 777) ASSERT_TRUE(server.feed(view(wire.substr(at, 777)), plain));
  EXPECT_EQ(plain, question);
  const std::string answer(100'000, 'a');
  ASSERT_TRUE(server.write(answer));
  client.feed(server.take_output());
  EXPECT_EQ(client.read(), answer);
  EXPECT_FALSE(server.is_peer_done());
  SSL_shutdown(client.native());
  ASSERT_TRUE(server.feed(view(client.take_output()), plain));
  EXPECT_TRUE(server.is_peer_done());
  server.close();
  client.feed(server.take_output());
  EXPECT_EQ(client.read(), "");
  EXPECT_NE(SSL_get_shutdown(client.native()) & SSL_RECEIVED_SHUTDOWN, 0);
}

TEST(Tls, SpeaksHttp11AndNothingElse) {
  TlsClient client({}, TLS1_3_VERSION, "http/1.1");
  TlsChannel server(make_context());
  std::string plain;
  ASSERT_TRUE(talk(client, server, plain));
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(client.native(), &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "http/1.1");
  TlsClient other({}, TLS1_3_VERSION, "h2");
  TlsChannel another(make_context());
  EXPECT_FALSE(talk(other, another, plain));
}

TEST(Tls, ForgedRecordsEndTheConnection) {
  TlsClient client;
  TlsChannel server(make_context());
  std::string plain;
  EXPECT_FALSE(TlsChannel(make_context()).feed(view("GET / HTTP/1.1\r\nHost: here\r\n\r\n"), plain));
  ASSERT_TRUE(talk(client, server, plain));
  client.write("hello");
  std::string wire = client.take_output();
  wire.back() = static_cast<char>(wire.back() ^ 1);
  const Status fed = server.feed(view(wire), plain);
  ASSERT_FALSE(fed);
  EXPECT_EQ(fed.error().kind, ErrorKind::PeerMisbehaved);
  EXPECT_EQ(plain, "");
}

TEST(Tls, AKeyMustBeTheCertificates) {
  const auto key = crypto::PrivateKey::generate(crypto::KeyKind::EcP256);
  ASSERT_TRUE(key);
  const auto pkcs8 = key->to_pkcs8();
  ASSERT_TRUE(pkcs8);
  EXPECT_FALSE(TlsContext::create({}, pkcs8->expose()));
  const std::vector<Bytes> rubbish = {Bytes{1, 2, 3}};
  EXPECT_FALSE(TlsContext::create(rubbish, pkcs8->expose()));
  const auto context = make_context();
  X509* const other = SSL_CTX_get0_certificate(context->native());
  unsigned char* der = nullptr;
  const int size = i2d_X509(other, &der);
  const std::vector<Bytes> chain = {Bytes(der, der + size)};
  OPENSSL_free(der);
  EXPECT_FALSE(TlsContext::create(chain, pkcs8->expose()));
}

}  // namespace
}  // namespace qanat::io
