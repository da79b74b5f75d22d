#include "tests/support/vectors/vectors.h"

#include <fstream>
#include <sstream>

#include "protocol/attestation.h"
#include "protocol/caller_proof.h"
#include "protocol/certs.h"
#include "protocol/framing.h"
#include "protocol/hpke.h"
#include "protocol/job.h"
#include "protocol/messages.h"
#include "protocol/noise.h"
#include "protocol/receipt.h"
#include "tests/support/vectors/json_fields.h"

namespace keyferry::vectors {
namespace {

using namespace protocol;  // NOLINT: this file speaks of nothing else
void RunHpke(const json::object& file, const OnCase& report) {
  for (const auto& value : file.at("cases").as_array()) {
    const json::object& c = value.as_object();
    const std::string name = Text(c, "name");
    const Blob plaintext = Get(c, "plaintext");
    Blob ct(plaintext.size() + kTagSize);
    X25519Public enc{};
    HpkeKeys keys;
    const Blob info = Get(c, "info");
    const Blob aad = Get(c, "aad");
    const auto ephemeral = Private<32>(c, "ephemeral_priv");
    report(name + ": seal",
           HpkeSeal(ephemeral, Array<32>(c, "recipient_pub"), info, aad, plaintext, enc, ct) &&
               ct == Get(c, "ct") && Same(enc, Get(c, "enc")));
    report(name + ": keys",
           HpkeReceiverKeys({Private<32>(c, "recipient_priv"), Array<32>(c, "recipient_pub")}, enc,
                            info, keys) &&
               Same(keys.shared_secret.bytes, Get(c, "shared_secret")) &&
               Same(keys.key.bytes, Get(c, "key")) &&
               Same(keys.base_nonce.bytes, Get(c, "base_nonce")));
    Blob opened(plaintext.size());
    report(name + ": open",
           HpkeOpen(Private<32>(c, "recipient_priv"), enc, info, aad, ct, opened) &&
               opened == plaintext);
  }
  for (const auto& value : file.at("must_not_open").as_array()) {
    const json::object& c = value.as_object();
    const Blob ct = Get(c, "ct");
    Blob opened(ct.size() < kTagSize ? 0 : ct.size() - kTagSize);
    report(Text(c, "name") + ": must not open",
           !HpkeOpen(Private<32>(c, "recipient_priv"), Array<32>(c, "enc"), Get(c, "info"),
                     Get(c, "aad"), ct, opened));
  }
}

void RunJobs(const json::object& file, const OnCase& report) {
  const auto issuer = Private<32>(file, "issuer_priv");
  const auto root = Private<32>(file, "root_priv");
  const auto issuer_pub = Array<65>(file, "issuer_pub");
  const auto root_pub = Array<65>(file, "root_pub");
  for (const auto& value : file.at("cases").as_array()) {
    const json::object& c = value.as_object();
    const std::string name = Text(c, "name");
    const Blob job = Get(c, "job");
    const Blob body = Get(c, "body");
    const auto parsed = ParsedJob::Parse(job);
    report(name + ": parse", parsed.has_value());
    if (!parsed) continue;
    const bool rotate = parsed->header.type == JobType::kIssuerRotate;
    report(name + ": signature", parsed->VerifySignature(rotate ? root_pub : issuer_pub));
    report(name + ": header", Same(parsed->header.Encode(), Get(c, "header")) &&
                                  Same(JobInfo(parsed->header), Get(c, "info")));
    const auto opened = OpenJob(*parsed, Private<32>(file, "recipient_priv"));
    report(name + ": open", opened.has_value() && Same(opened->body(), body));
    Bytes<kMaxJobSize> out{};
    const std::size_t size =
        SealJob(parsed->header, body, Array<32>(file, "recipient_pub"), rotate ? root : issuer,
                KidOf(rotate ? root_pub : issuer_pub), Private<32>(c, "ephemeral_priv"), out);
    report(name + ": seal", size == job.size() && std::equal(job.begin(), job.end(), out.begin()));
    report(name + ": hash", Same(JobHash(job), Get(c, "job_hash")));
  }
}

bool GoodReceipt(ByteView raw, const P256Public& key) {
  const auto receipt = Receipt::Parse(raw);
  return receipt && receipt->VerifySignature(key) &&
         Same(receipt->Encode(), Blob(raw.begin(), raw.end()));
}

void RunReceipts(const json::object& file, const OnCase& report) {
  const auto key = Array<65>(file, "sig_pub");
  Hash previous{};
  std::uint64_t counter = 0;
  for (const auto& value : file.at("chain").as_array()) {
    const json::object& c = value.as_object();
    const Blob raw = Get(c, "receipt");
    const auto receipt = Receipt::Parse(raw);
    bool ok = GoodReceipt(raw, key) && receipt->job_hash == JobHash(Get(c, "job"));
    ok = ok && receipt->receipt_ctr == counter + 1 && receipt->previous_hash == previous &&
         receipt->seq == Number(c.at("fields").as_object(), "seq");
    report(Text(c, "name") + ": chained receipt", ok);
    if (ok) {
      Receipt again = *receipt;
      report(Text(c, "name") + ": signed alike",
             again.Sign(Private<32>(file, "sig_priv")) && again.signature == receipt->signature);
      previous = ReceiptHash(raw);
      counter = receipt->receipt_ctr;
    }
  }
  for (const auto& value : file.at("negative").as_array()) {
    const json::object& c = value.as_object();
    const Blob raw = Get(c, "receipt");
    const auto receipt = Receipt::Parse(raw);
    report(Text(c, "name") + ": negative receipt",
           GoodReceipt(raw, key) &&
               static_cast<std::uint64_t>(receipt->result) == Number(c, "status") &&
               receipt->seq == receipt->prev_seq && receipt->job_hash == JobHash(Get(c, "job")));
  }
  const json::object& local = file.at("wipe_local").as_object();
  report("wipe_local", GoodReceipt(Get(local, "receipt"), Array<65>(local, "sig_pub")));
  for (const auto& value : file.at("must_be_refused").as_array()) {
    const json::object& c = value.as_object();
    report(Text(c, "name") + ": must be refused", !GoodReceipt(Get(c, "receipt"), key));
  }
}

void RunNoise(const json::object& file, const OnCase& report) {
  for (const auto& value : file.at("sessions").as_array()) {
    const json::object& c = value.as_object();
    const std::string name = Text(c, "name");
    const auto prologue =
        HopPrologue(static_cast<Transport>(Number(c, "transport")), Array<kInfoSize>(c, "info"));
    report(name + ": prologue", Same(prologue, Get(c, "prologue")));
    const auto host_static = Private<32>(c, "host_static_priv");
    const auto key_static = Private<32>(c, "key_static_priv");
    NoiseInitiator host(host_static, Private<32>(c, "host_ephemeral_priv"), prologue);
    NoiseResponder key(key_static, Private<32>(c, "key_ephemeral_priv"), prologue);
    Bytes<kHs1Size> hs1{};
    Bytes<kHs2Size> hs2{};
    Bytes<kHs3Size> hs3{};
    Bytes<kHostCertSize> cert{};
    HopSession at_host;
    HopSession at_key;
    report(name + ": HS1", host.WriteHs1(hs1) && Same(hs1, Get(c, "hs1")) && key.ReadHs1(hs1));
    report(name + ": HS2", key.WriteHs2(hs2) && Same(hs2, Get(c, "hs2")) && host.ReadHs2(hs2) &&
                               Same(host.key_static(), Get(c, "key_static_pub")));
    report(name + ": HS3", host.WriteHs3(Array<kHostCertSize>(c, "host_cert"), hs3, at_host) &&
                               Same(hs3, Get(c, "hs3")) && key.ReadHs3(hs3, cert, at_key) &&
                               Same(cert, Get(c, "host_cert")) &&
                               Same(key.host_static(), Get(c, "host_static_pub")));
    const auto parsed = HostCert::Parse(cert);
    report(name + ": HostCert", parsed && parsed->VerifySignature(Array<65>(c, "issuer_pub")));
    report(name + ": transport keys",
           Same(at_host.send.key().bytes, Get(c, "host_to_key_key")) &&
               Same(at_host.receive.key().bytes, Get(c, "key_to_host_key")) &&
               Same(at_host.handshake_hash, Get(c, "handshake_hash")) &&
               at_key.handshake_hash == at_host.handshake_hash);
    const Blob status = Get(c, "status");
    Blob sealed(status.size() + kTagSize);
    Blob opened(status.size());
    const auto hs4 = static_cast<std::uint8_t>(FrameCommand::kHs4);
    report(name + ": HS4", at_key.send.Seal(hs4, status, sealed) && sealed == Get(c, "hs4") &&
                               at_host.receive.Open(hs4, sealed, opened) && opened == status);
    const auto fields = KeyStatus::Parse(status);
    report(name + ": Status",
           fields && Same(fields->Encode(), status) &&
               fields->last_seq == Number(c.at("status_fields").as_object(), "last_seq"));
    std::size_t n = 0;
    for (const auto& message : c.at("messages").as_array()) {
      const json::object& m = message.as_object();
      const std::string what = name + ": message " + std::to_string(++n);
      for (const bool request : {true, false}) {
        const Blob plain = Get(m, request ? "request" : "response");
        Blob out(plain.size() + kTagSize);
        Blob back(plain.size());
        const auto command =
            static_cast<std::uint8_t>(request ? FrameCommand::kMsg : FrameCommand::kMsgResp);
        HopSession& from = request ? at_host : at_key;
        HopSession& to = request ? at_key : at_host;
        report(what + (request ? " request" : " response"),
               from.send.Seal(command, plain, out) && out == Get(m, request ? "msg" : "msg_resp") &&
                   to.receive.Open(command, out, back) && back == plain);
      }
    }
  }
}

void RunHid(const json::object& file, const OnCase& report) {
  for (const auto& value : file.at("cases").as_array()) {
    const json::object& c = value.as_object();
    const Blob data = Get(c, "data");
    const Blob cid = Get(c, "cid");
    const std::string name = std::to_string(data.size()) + " bytes";
    HidSplitter splitter(static_cast<std::uint32_t>(cid[0]) << 24 |
                             static_cast<std::uint32_t>(cid[1]) << 16 |
                             static_cast<std::uint32_t>(cid[2]) << 8 | cid[3],
                         static_cast<FrameCommand>(Number(c, "cmd")), data);
    Assembler assembler;
    auto step = Assembler::Step::kMore;
    bool same = true;
    std::size_t n = 0;
    for (const auto& expected : c.at("reports").as_array()) {
      protocol::Report raw{};
      same = same && splitter.Next(raw) && Same(raw, Unhex(std::string_view(expected.as_string())));
      const HidFrame frame = HidFrame::Parse(raw);
      step = frame.first ? assembler.Begin(frame.command, frame.length, frame.data)
                         : assembler.Continue(frame.sequence, frame.data);
      ++n;
    }
    protocol::Report extra{};
    report(name + ": reports", same && !splitter.Next(extra) && n == HidReportCount(data.size()));
    report(name + ": assembled",
           step == Assembler::Step::kComplete && Same(assembler.message(), data));
  }
}

void RunBle(const json::object& file, const OnCase& report) {
  for (const auto& value : file.at("cases").as_array()) {
    const json::object& c = value.as_object();
    const Blob data = Get(c, "data");
    const std::size_t fragment = Number(c, "att_mtu") - 3;
    const std::string name =
        std::to_string(data.size()) + " bytes at MTU " + std::to_string(fragment + 3);
    BleSplitter splitter(fragment, static_cast<FrameCommand>(Number(c, "cmd")), data);
    Assembler assembler;
    auto step = Assembler::Step::kMore;
    bool same = true;
    for (const auto& expected : c.at("fragments").as_array()) {
      Blob raw(fragment);
      raw.resize(splitter.Next(raw));
      same = same && raw == Unhex(std::string_view(expected.as_string()));
      BleFragment parsed;
      if (!BleFragment::Parse(raw, parsed)) continue;
      step = parsed.first ? assembler.Begin(parsed.command, parsed.length, parsed.data)
                          : assembler.Continue(parsed.sequence, parsed.data);
    }
    Blob extra(fragment);
    report(name + ": fragments", same && splitter.Next(extra) == 0);
    report(name + ": assembled",
           step == Assembler::Step::kComplete && Same(assembler.message(), data));
  }
}

// Good and bad ones of a structure that one public key signs.
template <typename T>
void RunSigned(const json::object& group, const char* member, const P256Public& key,
               const std::function<bool(const T&)>& also, const std::string& what,
               const OnCase& report) {
  const auto good = [&](const Blob& raw) {
    const auto parsed = T::Parse(raw);
    return parsed && Same(parsed->Encode(), raw) && parsed->VerifySignature(key) && also(*parsed);
  };
  if (group.contains("good")) {
    std::size_t n = 0;
    for (const auto& value : group.at("good").as_array()) {
      report(what + " " + std::to_string(++n), good(Get(value.as_object(), member)));
    }
  } else {
    report(what, good(Get(group, member)));
  }
  for (const auto& value : group.at("bad").as_array()) {
    report(what + ": " + Text(value.as_object(), "reason"), !good(Get(value.as_object(), member)));
  }
}

void RunCertificates(const json::object& file, const OnCase& report) {
  const auto root_pub = Array<65>(file, "root_pub");
  const auto issuer_pub = Array<65>(file, "issuer_pub");
  report("kid", Same(KidOf(root_pub), Get(file, "root_kid")) &&
                    Same(KidOf(issuer_pub), Get(file, "issuer_kid")));

  const json::object& host = file.at("host_cert").as_object();
  const auto bound = [&](const HostCert& c) {
    for (const auto& value : host.at("good").as_array()) {
      X25519Public pub{};
      X25519DerivePublic(Private<32>(value.as_object(), "host_noise_priv"), pub);
      if (pub == c.host_noise_pub) return c.issuer_kid == KidOf(issuer_pub);
    }
    return false;
  };
  RunSigned<HostCert>(host, "cert", issuer_pub, bound, "HostCert", report);
  RunSigned<IssuerCert>(
      file.at("issuer_cert").as_object(), "cert", root_pub, [](const IssuerCert&) { return true; },
      "IssuerCert", report);

  for (const auto& value : file.at("policy").as_object().at("good").as_array()) {
    const Blob raw = Get(value.as_object(), "policy");
    const auto policy = Policy::Parse(raw);
    report("Policy", policy && Same(policy->Encode(), raw));
  }
  for (const auto& value : file.at("policy").as_object().at("bad").as_array()) {
    report("Policy: " + Text(value.as_object(), "reason"),
           !Policy::Parse(Get(value.as_object(), "policy")));
  }

  const json::object& attestation = file.at("attestation").as_object();
  const Blob der = Get(attestation, "cert");
  const auto attestation_pub = Array<65>(attestation, "pub");
  report("attestation hash", Same(ByteView(Sha256Of(der)).first(20), Get(attestation, "hash20")));

  const auto named = [&](const Blob& raw) {
    const auto read = ReadAttestation(raw);
    return read && read->pub == attestation_pub &&
           Same(read->device_id, Get(attestation, "device_id"));
  };
  report("attestation certificate", named(der));
  for (const auto& value : attestation.at("bad").as_array()) {
    report("attestation certificate: " + Text(value.as_object(), "reason"),
           !named(Get(value.as_object(), "cert")));
  }

  const json::object& statement = file.at("statement").as_object();
  const auto good_statement = [&](const Blob& raw) {
    const auto parsed = Statement::Parse(raw);
    return parsed && Same(parsed->Encode(), raw) && parsed->VerifySignatures(attestation_pub) &&
           parsed->begin_hash == Sha256Of(Get(statement, "begin_body"));
  };
  report("Statement", good_statement(Get(statement, "statement")) &&
                          EnrollBegin::Parse(Get(statement, "begin_body")).has_value());
  for (const auto& value : statement.at("bad").as_array()) {
    report("Statement: " + Text(value.as_object(), "reason"),
           !good_statement(Get(value.as_object(), "statement")));
  }
  const auto parsed_statement = Statement::Parse(Get(statement, "statement"));

  const json::object& grant = file.at("enrol_grant").as_object();
  const auto granted = [&](const EnrolGrant& g) {
    return Same(g.nonce, Get(grant, "nonce")) && g.device_id == parsed_statement->device_id &&
           g.statement_hash == Sha256Of(Get(statement, "statement")) &&
           g.activation_hash ==
               ActivationHash(g.device_id, AsBytes(Text(grant, "activation_code")));
  };
  RunSigned<EnrolGrant>(grant, "grant", issuer_pub, granted, "EnrolGrant", report);
  const auto first = Receipt::Parse(Get(grant, "receipt_1"));
  report("receipt number 1", first && first->VerifySignature(parsed_statement->sig_pub) &&
                                 first->receipt_ctr == 1 && first->seq == 0 &&
                                 first->job_hash == Sha256Of(Get(grant, "grant")) &&
                                 IsAllZero(first->previous_hash));

  const json::object& activation = file.at("activation").as_object();
  for (const auto& value : activation.at("cases").as_array()) {
    report("activation hash", Same(ActivationHash(Array<16>(activation, "device_id"),
                                                  AsBytes(Text(value.as_object(), "code"))),
                                   Get(value.as_object(), "activation_hash")));
  }
  for (const auto& value : file.at("context").as_array()) {
    const json::object& c = value.as_object();
    report("context hash",
           Same(ContextHash(static_cast<Purpose>(Number(c, "purpose")), Array<16>(c, "host_id"),
                            Array<16>(c, "request_id"), Get(c, "text")),
                Get(c, "context_hash")));
  }
  for (const auto& value : file.at("caller").as_array()) {
    const json::object& c = value.as_object();
    const auto line = [&c](const char* name) {
      const auto bytes = Get(c, name);
      return std::string(bytes.begin(), bytes.end());
    };
    const std::string agent = line("agent"), ticket = line("ticket"), reason = line("reason"),
                      number = Text(c, "number");
    const CallerQuestion question{agent, ticket, reason, number};
    const Id place = Array<16>(c, "host_id"), request = Array<16>(c, "request_id");
    const Hash hash = CallerContext(place, request, question);
    report("caller context",
           IsCallerQuestion(question) && Same(hash, Get(c, "context_hash")) &&
               hash == ContextHash(Purpose::kCallerProof, place, request, Get(c, "text")));
  }
  const json::object& assertion = file.at("assertion").as_object();
  RunSigned<Assertion>(
      assertion, "assertion", Array<65>(assertion, "sig_pub"),
      [](const Assertion&) { return true; }, "Assertion", report);
}

}  // namespace

void RunFile(const std::string& path, const OnCase& report) {
  try {
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    text << in.rdbuf();
    const json::value value = json::parse(text.str());
    const json::object& file = value.as_object();
    if (file.contains("must_not_open")) {
      RunHpke(file, report);
    } else if (file.contains("must_be_refused")) {
      RunReceipts(file, report);
    } else if (file.contains("sessions")) {
      RunNoise(file, report);
    } else if (file.contains("exchanges")) {
      RunHid(file, report);
      RunHidExchanges(file, report);
    } else if (file.contains("host_cert")) {
      RunCertificates(file, report);
    } else if (file.contains("state")) {
      RunKeyJobs(file, report);
    } else if (file.contains("recipient_priv")) {
      RunJobs(file, report);
    } else if (file.contains("cases") &&
               file.at("cases").as_array().at(0).as_object().contains("att_mtu")) {
      RunBle(file, report);
    } else {
      report(path + ": no known kind of vectors", false);
    }
  } catch (const std::exception& error) {
    report(path + ": " + error.what(), false);
  }
}

}  // namespace keyferry::vectors
