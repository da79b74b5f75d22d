#include "tests/support/vectors/json_fields.h"
#include "tests/support/vectors/reference_key.h"

namespace keyferry::vectors {
namespace {

ReferenceKey KeyOf(const json::object& state) {
  ReferenceKey key;
  key.device_id = Array<16>(state, "device_id");
  key.account_id = Array<16>(state, "account_id");
  key.firmware = static_cast<std::uint32_t>(Number(state, "fw"));
  key.boot = static_cast<std::uint32_t>(Number(state, "boot"));
  key.sig_priv = Private<32>(state, "sig_priv");
  key.root_pub = Array<65>(state, "root_pub");
  key.issuer_pub = Array<65>(state, "issuer_pub");
  key.revoked_kid = Array<8>(state, "revoked_issuer_kid");
  key.issuer_epoch = static_cast<std::uint32_t>(Number(state, "issuer_epoch"));
  key.min_host_epoch = static_cast<std::uint32_t>(Number(state, "min_host_epoch"));
  key.pin_set = state.at("pin_set").as_bool();
  key.epoch = static_cast<std::uint32_t>(Number(state, "epoch"));
  for (const auto& value : state.at("recipients").as_array()) {
    const json::object& o = value.as_object();
    protocol::X25519Pair pair{Private<32>(o, "priv"), Array<32>(o, "pub")};
    (Number(o, "epoch") == key.epoch ? key.recipient : key.previous_recipient) = pair;
  }
  key.next_recipient.priv = Private<32>(state, "next_recipient_priv");
  protocol::X25519DerivePublic(key.next_recipient.priv, key.next_recipient.pub);
  key.last_seq = Number(state, "last_seq");
  key.receipt_ctr = Number(state, "receipt_ctr");
  key.last_job_hash = Array<32>(state, "last_job_hash");
  key.last_receipt = Get(state, "last_receipt");
  const json::object& slots = state.at("slots").as_object();
  if (const auto* pending = slots.if_contains("pending"); pending && pending->is_object())
    key.pending_job = Array<16>(pending->as_object(), "job_id");
  return key;
}

}  // namespace

void RunKeyJobs(const json::object& file, const OnCase& report) {
  const ReferenceKey key = KeyOf(file.at("state").as_object());
  for (const auto& value : file.at("cases").as_array()) {
    const json::object& c = value.as_object();
    const ReferenceKey::Answer answer = key.PutJob(Get(c, "job"));
    report(Text(c, "name") + ": answer",
           static_cast<std::uint64_t>(answer.status) == Number(c, "status") &&
               Name(answer.status) == Text(c, "status_name"));
    report(Text(c, "name") + ": receipt",
           answer.receipt == Get(c, "receipt") &&
               answer.receipt.empty() != c.at("signed_receipt").as_bool());
  }
}

void RunHidExchanges(const json::object& file, const OnCase& report) {
  for (const auto& value : file.at("exchanges").as_array()) {
    const json::object& c = value.as_object();
    ReferenceLink link({0xA1B2C3D4, 0x0BADCAFE}, 0x00010203);  // as the file's description says
    std::vector<Blob> answers;
    for (const auto& raw : c.at("in").as_array()) {
      const Blob bytes = Unhex(std::string_view(raw.as_string()));
      protocol::Report in{};
      if (bytes.size() != in.size()) throw std::runtime_error("a report is not 64 bytes");
      std::copy(bytes.begin(), bytes.end(), in.begin());
      for (const protocol::Report& out : link.Take(in))
        answers.emplace_back(out.begin(), out.end());
    }
    std::vector<Blob> expected;
    for (const auto& raw : c.at("out").as_array())
      expected.push_back(Unhex(std::string_view(raw.as_string())));
    report("exchange: " + Text(c, "name"), answers == expected);
  }
}

}  // namespace keyferry::vectors
