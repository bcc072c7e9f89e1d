// Proposals as text: parsing, printing, and the defaults.
#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/text.hpp"
#include "ipsec/proposal.hpp"

namespace qanat::ipsec {

namespace {

struct EncrWord {
  std::string_view word;
  EncrChoice choice;
};
constexpr std::array<EncrWord, 11> kEncrWords{{
    {"aes256gcm16", {EncrId::ENCR_AES_GCM_16, 256}},
    {"aes128gcm16", {EncrId::ENCR_AES_GCM_16, 128}},
    {"aes256gcm", {EncrId::ENCR_AES_GCM_16, 256}},
    {"aes128gcm", {EncrId::ENCR_AES_GCM_16, 128}},
    {"aes256gcm128", {EncrId::ENCR_AES_GCM_16, 256}},
    {"aes128gcm128", {EncrId::ENCR_AES_GCM_16, 128}},
    {"chacha20poly1305", {EncrId::ENCR_CHACHA20_POLY1305, 256}},
    {"aes256", {EncrId::ENCR_AES_CBC, 256}},
    {"aes128", {EncrId::ENCR_AES_CBC, 128}},
    {"aes", {EncrId::ENCR_AES_CBC, 128}},
    {"aes256cbc", {EncrId::ENCR_AES_CBC, 256}},
}};

template <typename Id>
struct Word {
  std::string_view word;
  Id id;
};
constexpr std::array<Word<IntegId>, 6> kIntegWords{{
    {"sha256", IntegId::AUTH_HMAC_SHA2_256_128},
    {"sha384", IntegId::AUTH_HMAC_SHA2_384_192},
    {"sha512", IntegId::AUTH_HMAC_SHA2_512_256},
    {"sha2_256", IntegId::AUTH_HMAC_SHA2_256_128},
    {"sha2_384", IntegId::AUTH_HMAC_SHA2_384_192},
    {"sha2_512", IntegId::AUTH_HMAC_SHA2_512_256},
}};
constexpr std::array<Word<PrfId>, 3> kPrfWords{{
    {"prfsha256", PrfId::PRF_HMAC_SHA2_256},
    {"prfsha384", PrfId::PRF_HMAC_SHA2_384},
    {"prfsha512", PrfId::PRF_HMAC_SHA2_512},
}};
constexpr std::array<Word<KeId>, 12> kKeWords{{
    {"x25519", KeId::CURVE25519},
    {"curve25519", KeId::CURVE25519},
    {"ecp256", KeId::ECP_256},
    {"ecp384", KeId::ECP_384},
    {"ecp521", KeId::ECP_521},
    {"modp2048", KeId::MODP_2048},
    {"modp3072", KeId::MODP_3072},
    {"modp4096", KeId::MODP_4096},
    {"mlkem512", KeId::ML_KEM_512},
    {"mlkem768", KeId::ML_KEM_768},
    {"mlkem1024", KeId::ML_KEM_1024},
    {"none", KeId::NONE},
}};

template <typename Table, typename Id = decltype(Table::value_type::id)>
std::optional<Id> lookup(const Table& table, std::string_view word) {
  for (const auto& entry : table) {
    if (entry.word == word) return entry.id;
  }
  return std::nullopt;
}

constexpr std::array<std::string_view, 8> kRefused{"3des",     "null",     "sha1",    "md5",
                                                   "modp1024", "modp1536", "modp768", "des"};

std::string unknown_word(std::string_view word) {
  if (std::find(kRefused.begin(), kRefused.end(), word) != kRefused.end()) {
    return fmt::format("'{}' is too weak and not offered; use aes256gcm16, sha256, x25519 or stronger", word);
  }
  std::vector<std::string_view> known;
  for (const auto& e : kEncrWords) known.push_back(e.word);
  for (const auto& e : kIntegWords) known.push_back(e.word);
  for (const auto& e : kPrfWords) known.push_back(e.word);
  for (const auto& e : kKeWords) known.push_back(e.word);
  const std::string_view near = nearest(word, known);
  if (near.empty()) {
    return fmt::format("'{}' is no algorithm that we know", printable(word, 40));
  }
  return fmt::format("'{}' is no algorithm that we know; did you mean '{}'?", printable(word, 40), near);
}

template <typename T>
void add_once(std::vector<T>& list, T value) {
  if (std::find(list.begin(), list.end(), value) == list.end()) list.push_back(value);
}

// The words of one proposal, in either protocol.
struct Words {
  std::vector<EncrChoice> encr;
  std::vector<IntegId> integ;
  std::vector<PrfId> prf;
  std::vector<KeId> ke;
  AdditionalKes addke;
};

std::unexpected<Error> refuse(std::string_view text, std::string detail) {
  return fail(ErrorKind::LocalPolicy, fmt::format("proposal '{}'", printable(text, 120)), std::move(detail));
}

bool is_aead(EncrId id) {
  return CipherSuite{id, 0, IntegId::NONE}.is_aead();
}

Result<Words> parse_words(std::string_view text) {
  Words out;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t dash = rest.find('-');
    const std::string_view word = rest.substr(0, dash);
    rest.remove_prefix(dash == std::string_view::npos ? rest.size() : dash + 1);
    if (word.size() > 4 && word.starts_with("ke") && word[3] == '_') {
      const int round = word[2] - '0';
      const auto id = lookup(kKeWords, word.substr(4));
      if (round < 1 || round > static_cast<int>(kMaxAdditionalKes))
        return refuse(text, fmt::format("'{}': rounds are ke1_ to ke7_", word));
      if (!id) return refuse(text, unknown_word(word.substr(4)));
      add_once(out.addke[static_cast<std::size_t>(round - 1)], *id);
      continue;
    }
    const auto encr =
        std::find_if(kEncrWords.begin(), kEncrWords.end(), [&](const EncrWord& e) { return e.word == word; });
    if (encr != kEncrWords.end()) {
      add_once(out.encr, encr->choice);
    } else if (const auto integ = lookup(kIntegWords, word)) {
      add_once(out.integ, *integ);
    } else if (const auto prf = lookup(kPrfWords, word)) {
      add_once(out.prf, *prf);
    } else if (const auto ke = lookup(kKeWords, word)) {
      add_once(out.ke, *ke);
    } else {
      return refuse(text, unknown_word(word));
    }
  }
  if (out.encr.empty()) return refuse(text, "names no cipher; begin with one like aes256gcm16");
  const bool aead = is_aead(out.encr.front().id);
  for (const EncrChoice& e : out.encr) {
    if (is_aead(e.id) != aead) return refuse(text, "mixes AEAD ciphers with others; write two proposals");
  }
  if (!aead && out.integ.empty())
    return refuse(text, "aes in CBC mode needs an integrity algorithm, such as aes256-sha256");
  for (std::size_t i = 0; i < kMaxAdditionalKes; ++i) {
    if (out.addke[i].size() == 1 && out.addke[i].front() == KeId::NONE)
      return refuse(text, fmt::format("ke{}_none alone means nothing; leave it out", i + 1));
  }
  return out;
}

PrfId prf_of(IntegId id) {
  switch (id) {
    case IntegId::AUTH_HMAC_SHA2_384_192:
      return PrfId::PRF_HMAC_SHA2_384;
    case IntegId::AUTH_HMAC_SHA2_512_256:
      return PrfId::PRF_HMAC_SHA2_512;
    default:
      return PrfId::PRF_HMAC_SHA2_256;
  }
}

void append_words(std::vector<std::string>& words, const std::vector<KeId>& ke, const AdditionalKes& addke) {
  for (const KeId id : ke) words.push_back(to_string(id));
  for (std::size_t i = 0; i < addke.size(); ++i) {
    for (const KeId id : addke[i]) words.push_back(fmt::format("ke{}_{}", i + 1, to_string(id)));
  }
}

}  // namespace

Result<IkeProposal> parse_ike_proposal(std::string_view text) {
  QANAT_ASSIGN(Words words, parse_words(text));
  IkeProposal p{words.encr, words.integ, words.prf, words.ke, words.addke};
  if (is_aead(p.encr.front().id)) {
    // "aes256gcm16-sha384-..." is how other products' users name the PRF beside an AEAD.
    if (p.prf.empty()) {
      for (const IntegId id : p.integ) add_once(p.prf, prf_of(id));
    }
    p.integ.clear();
  } else if (p.prf.empty()) {
    for (const IntegId id : p.integ) add_once(p.prf, prf_of(id));
  }
  if (p.prf.empty()) return refuse(text, "names no PRF; add one like prfsha384");
  if (p.ke.empty())
    return refuse(text, "names no key exchange; add one like x25519 (and ke1_mlkem768 to make it quantum-safe)");
  for (const KeId id : p.ke) {
    if (id == KeId::NONE) return refuse(text, "an IKE SA cannot be without a key exchange");
  }
  return p;
}

Result<EspProposal> parse_esp_proposal(std::string_view text) {
  QANAT_ASSIGN(Words words, parse_words(text));
  if (!words.prf.empty()) return refuse(text, "ESP has no PRF; leave the prf word out");
  EspProposal p{words.encr, words.integ, words.ke, words.addke};
  if (is_aead(p.encr.front().id) && !p.integ.empty()) {
    return refuse(text, fmt::format("{} checks integrity itself; leave {} out",
                                    to_string(p.encr.front().id, p.encr.front().key_bits), to_string(p.integ.front())));
  }
  return p;
}

std::string to_string(const IkeProposal& p) {
  std::vector<std::string> words;
  for (const EncrChoice& e : p.encr) words.push_back(to_string(e.id, e.key_bits));
  for (const IntegId id : p.integ) words.push_back(to_string(id));
  for (const PrfId id : p.prf) words.push_back(to_string(id));
  append_words(words, p.ke, p.addke);
  return fmt::format("{}", fmt::join(words, "-"));
}

std::string to_string(const EspProposal& p) {
  std::vector<std::string> words;
  for (const EncrChoice& e : p.encr) words.push_back(to_string(e.id, e.key_bits));
  for (const IntegId id : p.integ) words.push_back(to_string(id));
  append_words(words, p.ke, p.addke);
  return fmt::format("{}", fmt::join(words, "-"));
}

std::string to_string(const ChosenIke& c) {
  std::string out = to_string(c.suite) + "-" + to_string(c.prf) + "-" + to_string(c.ke);
  for (std::size_t i = 0; i < c.addke.size(); ++i) {
    if (c.addke[i] && *c.addke[i] != KeId::NONE) out += fmt::format("-ke{}_{}", i + 1, to_string(*c.addke[i]));
  }
  return out;
}

bool guarantees_ml_kem(const IkeProposal& p) {
  const auto only_ml_kem = [](const std::vector<KeId>& round) {
    return !round.empty() && std::all_of(round.begin(), round.end(), is_ml_kem);
  };
  return only_ml_kem(p.ke) || std::any_of(p.addke.begin(), p.addke.end(), only_ml_kem);
}

bool allows_ml_kem(const IkeProposal& p) {
  const auto some_ml_kem = [](const std::vector<KeId>& round) {
    return std::any_of(round.begin(), round.end(), is_ml_kem);
  };
  return some_ml_kem(p.ke) || std::any_of(p.addke.begin(), p.addke.end(), some_ml_kem);
}

namespace {

const std::vector<EncrChoice>& default_aeads() {
  static const std::vector<EncrChoice> aeads{
      {EncrId::ENCR_AES_GCM_16, 256}, {EncrId::ENCR_AES_GCM_16, 128}, {EncrId::ENCR_CHACHA20_POLY1305, 256}};
  return aeads;
}

}  // namespace

std::vector<IkeProposal> default_hybrid_proposals() {
  IkeProposal p;
  p.encr = default_aeads();
  p.prf = {PrfId::PRF_HMAC_SHA2_384, PrfId::PRF_HMAC_SHA2_256};
  p.ke = {KeId::CURVE25519, KeId::ECP_384, KeId::ECP_256};
  p.addke[0] = {KeId::ML_KEM_768, KeId::ML_KEM_1024, KeId::ML_KEM_512};
  return {p};
}

std::vector<IkeProposal> default_classical_proposals() {
  IkeProposal aead;
  aead.encr = default_aeads();
  aead.prf = {PrfId::PRF_HMAC_SHA2_384, PrfId::PRF_HMAC_SHA2_256};
  aead.ke = {KeId::CURVE25519, KeId::ECP_384, KeId::ECP_256, KeId::MODP_3072, KeId::MODP_2048};
  IkeProposal cbc = aead;
  cbc.encr = {{EncrId::ENCR_AES_CBC, 256}, {EncrId::ENCR_AES_CBC, 128}};
  cbc.integ = {IntegId::AUTH_HMAC_SHA2_384_192, IntegId::AUTH_HMAC_SHA2_256_128};
  return {aead, cbc};
}

std::vector<EspProposal> default_esp_proposals() {
  EspProposal aead;
  aead.encr = default_aeads();
  EspProposal cbc;
  cbc.encr = {{EncrId::ENCR_AES_CBC, 256}};
  cbc.integ = {IntegId::AUTH_HMAC_SHA2_256_128};
  return {aead, cbc};
}

}  // namespace qanat::ipsec
