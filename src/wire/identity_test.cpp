#include "wire/identity.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/rng.hpp"
#include "wire/distinguished_name.hpp"
#include "wire/testing.hpp"

namespace qanat::wire {
namespace {

using ::testing::HasSubstr;
using testing::hex;

struct Written {
  const char* text;
  IdType type;
  Bytes data;
  const char* shown;  // nullptr: as written
};
class Identities : public ::testing::TestWithParam<Written> {};

TEST_P(Identities, parse_and_print) {
  const Written& w = GetParam();
  const auto id = Identity::parse(w.text);
  ASSERT_TRUE(id) << id.error().detail;
  EXPECT_EQ(id->type, w.type);
  EXPECT_EQ(to_hex(id->data), to_hex(w.data));
  EXPECT_EQ(id->to_string(), w.shown == nullptr ? w.text : w.shown);
  const auto again = Identity::parse(id->to_string());
  ASSERT_TRUE(again) << again.error().detail;
  EXPECT_EQ(*again, *id);
}

INSTANTIATE_TEST_SUITE_P(
    Accepted, Identities,
    ::testing::Values(
        Written{"192.0.2.1", IdType::ID_IPV4_ADDR, {192, 0, 2, 1}, nullptr},
        Written{"ipv4:192.0.2.1", IdType::ID_IPV4_ADDR, {192, 0, 2, 1}, "192.0.2.1"},
        Written{"2001:DB8::1", IdType::ID_IPV6_ADDR, hex("20010db8 00000000 00000000 00000001"), "2001:db8::1"},
        Written{"ipv6:2001:db8::1", IdType::ID_IPV6_ADDR, hex("20010db8 00000000 00000000 00000001"), "2001:db8::1"},
        Written{"fqdn:Berlin.example.com", IdType::ID_FQDN, to_bytes("Berlin.example.com"), nullptr},
        Written{"berlin", IdType::ID_FQDN, to_bytes("berlin"), "fqdn:berlin"},
        Written{"a1b2.c3_d4.ipsec.example.com", IdType::ID_FQDN, to_bytes("a1b2.c3_d4.ipsec.example.com"),
                "fqdn:a1b2.c3_d4.ipsec.example.com"},
        Written{"fqdn:1.2.3", IdType::ID_FQDN, to_bytes("1.2.3"), nullptr},
        Written{"ops@example.com", IdType::ID_RFC822_ADDR, to_bytes("ops@example.com"), "rfc822:ops@example.com"},
        Written{"rfc822:ipsec@t1.example.com", IdType::ID_RFC822_ADDR, to_bytes("ipsec@t1.example.com"), nullptr},
        Written{"keyid:account_tunnel", IdType::ID_KEY_ID, to_bytes("account_tunnel"), nullptr},
        Written{"keyid:a:b@c=d", IdType::ID_KEY_ID, to_bytes("a:b@c=d"), nullptr},
        Written{"keyid:0x00FFfe", IdType::ID_KEY_ID, {0, 0xff, 0xfe}, "keyid:0x00fffe"},
        Written{"keyid:0x3078", IdType::ID_KEY_ID, to_bytes("0x"), "keyid:0x3078"},
        Written{"keyid:two words", IdType::ID_KEY_ID, to_bytes("two words"), "keyid:0x74776f20776f726473"},
        // RFC 5280 4.1.2.4, by hand: SEQUENCE { SET { SEQUENCE { CN, UTF8String } }, SET { SEQUENCE { O, UTF8String } }
        // }
        Written{"dn:CN=berlin,O=Example", IdType::ID_DER_ASN1_DN,
                hex("3023 310f 300d 0603550403 0c06 6265726c696e 3110 300e 060355040a 0c07 4578616d706c65"), nullptr},
        Written{"dn: cn = berlin , o=Example", IdType::ID_DER_ASN1_DN,
                hex("3023 310f 300d 0603550403 0c06 6265726c696e 3110 300e 060355040a 0c07 4578616d706c65"),
                "dn:CN=berlin,O=Example"},
        Written{"dn:C=DE", IdType::ID_DER_ASN1_DN, hex("300d 310b 3009 0603550406 1302 4445"), nullptr},
        Written{"dn:emailAddress=a@b", IdType::ID_DER_ASN1_DN, hex("3014 3112 3010 06092a864886f70d010901 1603 614062"),
                nullptr},
        Written{"dn:CN=a\\,b\\2b\\ ", IdType::ID_DER_ASN1_DN, hex("3010 310e 300c 0603550403 0c05 61 2c 62 2b 20"),
                "dn:CN=a\\,b\\+\\ "},
        Written{"dn:CN=K\xc3\xb6ln", IdType::ID_DER_ASN1_DN, hex("3010 310e 300c 0603550403 0c05 4bc3b66c6e"),
                "dn:CN=K\\c3\\b6ln"},
        Written{"dn:0x300d310b3009060355040613024445", IdType::ID_DER_ASN1_DN,
                hex("300d 310b 3009 0603550406 1302 4445"), "dn:C=DE"},
        Written{"dn:0x3000", IdType::ID_DER_ASN1_DN, hex("3000"), nullptr}));

TEST(Identity, of_every_attribute_reads_back) {
  const std::string text = "dn:CN=a,O=b,OU=c,C=DE,L=d,ST=e,emailAddress=f@g,DC=h,STREET=i,serialNumber=j,UID=k";
  const auto id = Identity::parse(text);
  ASSERT_TRUE(id);
  EXPECT_EQ(id->to_string(), text);
}

TEST(Identity, of_a_long_dn_has_long_lengths) {
  const std::string text = "dn:CN=" + std::string(200, 'a') + ",O=" + std::string(220, 'b');
  const auto id = Identity::parse(text);
  ASSERT_TRUE(id);
  EXPECT_EQ(to_hex(ByteView{id->data}.first(16)), "308201c03181d33081d006035504030c");
  EXPECT_EQ(id->to_string(), text);
  EXPECT_FALSE(Identity::parse("dn:CN=" + std::string(3000, 'a')));
}

TEST(Identity, that_is_none_is_refused_with_what_is_accepted) {
  for (const char* text : {"",
                           "fqdn:",
                           "fqdn:a..b",
                           "fqdn:.a",
                           "fqdn:a.",
                           "fqdn:a b",
                           "fqdn:*.example.com",
                           "b\xc3\xbc",
                           "300.1.1.1",
                           "192.0.2",
                           "1.2.3.4.5",
                           "ipv4:2001:db8::1",
                           "ipv4:x",
                           "ipv6:192.0.2.1",
                           "ipv6:",
                           "2001:db8",
                           "@berlin",
                           "a@",
                           "a@b@c",
                           "a b@c",
                           "rfc822:berlin",
                           "keyid:",
                           "keyid:0x",
                           "keyid:0x1",
                           "keyid:0xzz",
                           "fqnd:a",
                           "asn1dn:CN=a",
                           "CN=berlin",
                           "dn:0x",
                           "dn:0x3",
                           "dn:0x0500",
                           "a/b"}) {
    const auto id = Identity::parse(text);
    ASSERT_FALSE(id) << text;
    EXPECT_EQ(id.error().where, "identity");
    EXPECT_THAT(id.error().detail, HasSubstr("fqdn:")) << text;
    EXPECT_THAT(id.error().detail, HasSubstr("dn:")) << text;
  }
  for (const char* text : {"dn:", "dn:CN", "dn:CN=", "dn:CN=a,", "dn:CN=a,,O=b", "dn:XX=a", "dn:CN=a+O=b",
                           "dn:CN=\"a\"", "dn:CN=a\\", "dn:CN=a\\4", "dn:CN=a\\zz", "dn:C=DEU", "dn:C=d\xc3\xa9",
                           "dn:CN=\xff\xfe", "dn:CN=\\c0\\80", "dn:=a", "dn:CN= ", "dn:emailAddress=\xc3\xbc@b"}) {
    const auto id = Identity::parse(text);
    ASSERT_FALSE(id) << text;
    EXPECT_THAT(id.error().detail, HasSubstr("dn:")) << text;
  }
}

TEST(Identity, mistyped_kind_is_named) {
  const auto id = Identity::parse("fqdm:berlin");
  ASSERT_FALSE(id);
  EXPECT_THAT(id.error().detail, HasSubstr("did you mean fqdn:"));
  const auto at = Identity::parse("@berlin.example.com");
  ASSERT_FALSE(at);
  EXPECT_THAT(at.error().detail, HasSubstr("written fqdn:berlin.example.com"));
  EXPECT_FALSE(Identity::parse(std::string(254, 'a')));
  EXPECT_FALSE(Identity::parse("fqdn:" + std::string(64, 'a') + ".b"));
}

TEST(Identity, matches_names_without_case) {
  const auto id = [](const char* text) { return *Identity::parse(text); };
  EXPECT_TRUE(id("fqdn:Berlin.Example.com").matches(id("berlin.example.COM")));
  EXPECT_TRUE(id("OPS@example.com").matches(id("ops@EXAMPLE.com")));
  EXPECT_FALSE(id("fqdn:berlin").matches(id("fqdn:berlin2")));
  EXPECT_FALSE(id("fqdn:berlin").matches(id("keyid:berlin")));
  EXPECT_FALSE(id("keyid:berlin").matches(id("keyid:Berlin")));
  EXPECT_TRUE(id("192.0.2.1").matches(id("ipv4:192.0.2.1")));
  EXPECT_FALSE(id("fqdn:Berlin") == id("fqdn:berlin"));
  // Only ASCII letters fold: '[' and '{' are 32 apart as well.
  EXPECT_FALSE((Identity{IdType::ID_FQDN, {'['}}).matches(Identity{IdType::ID_FQDN, {'{'}}));
  EXPECT_FALSE((Identity{IdType::ID_FQDN, {0xc4}}).matches(Identity{IdType::ID_FQDN, {0xe4}}));
  // A zero octet hides nothing.
  EXPECT_FALSE((Identity{IdType::ID_FQDN, {'a', 0, 'b'}}).matches(Identity{IdType::ID_FQDN, {'a'}}));
}

TEST(Identity, matches_dns_whatever_string_type_they_have) {
  const auto id = [](const char* octets) { return Identity{IdType::ID_DER_ASN1_DN, hex(octets)}; };
  const Identity utf8 = id("300f 310d 300b 0603550403 0c04 61626364");
  EXPECT_TRUE(utf8.matches(id("300f 310d 300b 0603550403 1304 61626364")));   // PrintableString
  EXPECT_FALSE(utf8.matches(id("300f 310d 300b 0603550403 1304 61626344")));  // another case
  EXPECT_FALSE(utf8.matches(id("300f 310d 300b 060355040a 1304 61626364")));  // another attribute
  EXPECT_FALSE(utf8.matches(id("300f 310d 300b 0603550403 1e04 61626364")));  // BMPString: other characters
  EXPECT_FALSE(utf8.matches(id("301e 310d 300b 0603550403 0c04 61626364 310d 300b 0603550403 0c04 61626364")));
  EXPECT_FALSE(utf8.matches(id("3000")));
  const Identity broken = id("30ff");
  EXPECT_TRUE(broken.matches(broken));
  EXPECT_FALSE(broken.matches(utf8));
}

TEST(Identity, keys_are_equal_for_those_that_match_and_for_no_others) {
  std::vector<Identity> all;
  for (const char* text : {"fqdn:berlin", "fqdn:Berlin", "keyid:berlin", "keyid:Berlin", "a@b.c", "A@B.C", "192.0.2.1",
                           "2001:db8::1", "dn:CN=a", "dn:CN=A", "dn:CN=a,O=b", "dn:O=b,CN=a", "dn:CN=aO=b"})
    all.push_back(*Identity::parse(text));
  for (const char* octets : {"300f 310d 300b 0603550403 0c04 61626364", "300f 310d 300b 0603550403 1304 61626364",
                             "300f 310d 300b 0603550403 1604 61626364", "300f 310d 300b 0603550403 1e04 61626364",
                             "300f 310d 300b 0603550403 0c04 616263ff", "300f 310d 300b 0603550403 1304 616263ff",
                             "3000", "30ff", "30ff01", "", "3d", "3f"})
    all.push_back({IdType::ID_DER_ASN1_DN, hex(octets)});
  all.push_back({IdType::ID_FQDN, {'['}});
  all.push_back({IdType::ID_FQDN, {'{'}});
  all.push_back({IdType::ID_FQDN, {'a', 0, 'b'}});
  all.push_back({IdType::ID_FQDN, {'a'}});
  for (const Identity& a : all) {
    for (const Identity& b : all) EXPECT_EQ(a.key() == b.key(), a.matches(b)) << a.to_string() << " " << b.to_string();
  }
}

TEST(Identity, of_a_peer_is_safe_to_print) {
  EXPECT_EQ((Identity{IdType::ID_FQDN, to_bytes("a\nb\x1b[31m\\")}).to_string(), "fqdn:a\\x0ab\\x1b[31m\\x5c");
  EXPECT_EQ((Identity{IdType::ID_IPV4_ADDR, {1, 2, 3}}).to_string(), "ID_IPV4_ADDR:0x010203");
  EXPECT_EQ((Identity{IdType::ID_IPV6_ADDR, {}}).to_string(), "ID_IPV6_ADDR:0x");
  EXPECT_EQ((Identity{IdType::ID_NULL, {}}).to_string(), "ID_NULL");
  EXPECT_EQ((Identity{static_cast<IdType>(99), {0xab}}).to_string(), "id-99:0xab");
  EXPECT_EQ((Identity{IdType::ID_DER_ASN1_GN, {0xab}}).to_string(), "ID_DER_ASN1_GN:0xab");
  EXPECT_EQ((Identity{IdType::ID_KEY_ID, {}}).to_string(), "keyid:0x");
  EXPECT_EQ((Identity{IdType::ID_KEY_ID, Bytes(60000, 'a')}).to_string().size(), 6U + 512 + 3);
  EXPECT_EQ((Identity{IdType::ID_FQDN, Bytes(60000, 'a')}).to_string().size(), 5U + 512 + 3);
  EXPECT_EQ((Identity{IdType::ID_DER_ASN1_DN, Bytes(60000, 'a')}).to_string().size(), 3U + 2 + 1024 + 3);
}

TEST(Identity, that_is_no_der_is_shown_in_hexadecimal) {
  for (const char* octets : {"", "30", "3001", "3000", "3080 0000", "30 81 03 310100", "30 02 3100", "30 04 3102 3000",
                             "300f 310d 300b 0603550403 0c05 61626364",
                             "300f 310d 300b 0603550463 0c04 61626364",              // an attribute that we do not know
                             "300f 310d 300b 0603550403 1e04 61626364",              // BMPString
                             "300d 310b 3009 0603550403 0c02 c328",                  // not UTF-8
                             "300d 310b 3009 0603550403 1302 4140",                  // '@' in a PrintableString
                             "3014 3112 3007 0603550403 0c00 3007 060355040a 0c00",  // an RDN of two
                             "300f 310d 300b 0603550403 0c04 61626364 00"}) {
    const Bytes der = hex(octets);
    EXPECT_EQ((Identity{IdType::ID_DER_ASN1_DN, der}).to_string(), "dn:0x" + to_hex(der)) << octets;
  }
}

TEST(Identity, of_any_octets_prints_printable_text_that_reads_back) {
  SeededRng rng(20260);
  Bytes valid = Identity::parse("dn:CN=berlin,O=Example,C=DE,emailAddress=ops@example.com")->data;
  std::size_t read_back = 0;
  for (int round = 0; round < 20000; ++round) {
    Bytes data = rng.below(2) == 0 ? valid : rng.bytes(rng.below(40));
    if (!data.empty()) data[rng.below(data.size())] = static_cast<std::uint8_t>(rng.u32());
    const Identity id{IdType::ID_DER_ASN1_DN, data};
    const std::string text = id.to_string();
    for (const char c : text) ASSERT_TRUE(c >= 0x20 && c < 0x7f);
    if (const auto again = Identity::parse(text)) {
      ASSERT_TRUE(again->matches(id)) << text;
      ++read_back;
    }
    const std::string input(data.begin(), data.end());
    for (const char* kind : {"", "dn:", "fqdn:", "rfc822:", "keyid:", "ipv6:"}) {
      const auto any = Identity::parse(kind + input);
      if (!any) continue;
      const auto second = Identity::parse(any->to_string());
      ASSERT_TRUE(second) << any->to_string();
      ASSERT_EQ(*second, *any) << any->to_string();
    }
  }
  EXPECT_GT(read_back, 5000U);
}

}  // namespace
}  // namespace qanat::wire
