#include "exchange/fake_auth.hpp"

#include <algorithm>

#include "crypto/digest.hpp"

namespace qanat::exchange {

namespace {

// One octet of length and an AlgorithmIdentifier (RFC 7427 3): ML-DSA-65's, the toy does not mind.
const Bytes kAlgorithm{13, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12};

Bytes toy_signature(const std::string& key, ByteView octets) {
  const auto digest = crypto::sha256({to_bytes(key), octets});
  return {digest.begin(), digest.end()};
}

std::vector<std::string> fields_of(const Bytes& certificate) {
  std::vector<std::string> out{""};
  for (const std::uint8_t c : certificate) {
    if (c == '|') {
      out.emplace_back();
    } else {
      out.back().push_back(static_cast<char>(c));
    }
  }
  return out;
}

Status no(const char* why) {
  return fail(ErrorKind::AuthFailed, "toy", why);
}

}  // namespace

wire::CertPayload FakeAuth::certificate() const {
  Bytes data = to_bytes("toy|" + ca + "|" + owner + "|" + key + "|");
  data.resize(std::max(data.size(), certificate_size), '.');
  return {4, std::move(data)};
}

ike::SignAnswer FakeAuth::signed_answer(const ike::SignQuestion& question) const {
  ike::SignAnswer out;
  out.request = question.request;
  out.auth.method = question.digital_signature ? wire::AuthMethod::DigitalSignature : wire::AuthMethod::EcdsaSha256P256;
  if (question.digital_signature) out.auth.data = kAlgorithm;
  append(out.auth.data, toy_signature(key, question.octets));
  out.auth.data.resize(std::max(out.auth.data.size(), signature_size));
  out.certificates.assign(1 + intermediates, certificate());
  out.described = "toy";
  return out;
}

Status FakeAuth::judge(const ike::VerifyQuestion& question) const {
  if (question.certificates.empty()) return no("no certificate came");
  const auto fields = fields_of(question.certificates.front().data);
  if (fields.size() < 5 || fields[0] != "toy") return no("is no certificate");
  if (fields[1] != trusted_ca) return no("no anchor of ours issued it");
  if (to_bytes(fields[2]) != question.peer_id.data) return no("is somebody else's");
  ByteView signature = question.auth.data;
  if (question.digital_signature) {
    if (question.auth.method != wire::AuthMethod::DigitalSignature) return no("is not of method 14");
    if (signature.size() < kAlgorithm.size() || !std::equal(kAlgorithm.begin(), kAlgorithm.end(), signature.begin()))
      return no("unknown AlgorithmIdentifier");
    signature = signature.subspan(kAlgorithm.size());
  }
  const Bytes expected = toy_signature(fields[3], question.octets);
  if (signature.size() < expected.size() || !std::equal(expected.begin(), expected.end(), signature.begin()))
    return no("the signature does not verify");
  return {};
}

void FakeAuth::reply(Answer how, Reply reply) {
  if (how == Answer::Later) {
    late_.push_back(std::move(reply));
  } else if (how != Answer::Never) {
    ready_.push_back(std::move(reply));
  }
}

void FakeAuth::ask(ike::SignQuestion question) {
  ike::SignAnswer answer = signed_answer(question);
  if (sign == Answer::Refuse) {
    answer = {};
    answer.request = question.request;
    answer.status = no("the key is not there");
  }
  sign_questions.push_back(std::move(question));
  reply(sign, std::move(answer));
}

void FakeAuth::ask(ike::VerifyQuestion question) {
  ike::VerifyAnswer answer;
  answer.request = question.request;
  if (verify == Answer::Refuse) answer.status = no("was revoked");
  if (verify != Answer::Refuse && verify != Answer::Fooled) answer.status = judge(question);
  answer.described = "toy certificate of " + std::string(question.peer_id.data.begin(), question.peer_id.data.end());
  answer.quantum_safe = quantum_safe;
  verify_questions.push_back(std::move(question));
  reply(verify, std::move(answer));
}

std::optional<FakeAuth::Reply> FakeAuth::poll() {
  if (ready_.empty()) return std::nullopt;
  Reply out = std::move(ready_.front());
  ready_.pop_front();
  return out;
}

void FakeAuth::give_late_answers() {
  for (Reply& r : late_) ready_.push_back(std::move(r));
  late_.clear();
}

}  // namespace qanat::exchange
