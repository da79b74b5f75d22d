#include <catch2/catch.hpp>

#include "client-daemon/cli/inspect.h"
#include "client-daemon/cli/status_text.h"
#include "client-daemon/core/files.h"
#include "client-daemon/core/sealed_file.h"
#include "tests/unit/client-daemon/temp_dir.h"
#include "tests/unit/device/fake_key.h"
#include "tests/unit/device/organisation.h"

using namespace keyferry;
using namespace keyferry::daemon;

TEST_CASE("status in words names the next step") {
  const auto text = [](const std::string& server, const std::string& workstation,
                       const std::string& key) {
    return *cli::StatusText(R"({"ok":true,"version":"1","server":{"url":"https://s","since":0,)" +
                                server + R"(},"workstation":{"name":"pc","agent":"certified",)" +
                                workstation + R"(},"keys":[)" + key +
                                R"(],"spool":{"jobs":1,"receipts":0,"damaged":0}})",
                            1000);
  };
  const auto has = [](const std::string& all, const std::string& part) {
    INFO(all);
    CHECK(all.find(part) != std::string::npos);
  };
  const std::string connected = R"("state":"connected","last_error":"")";
  const std::string approved = R"("state":"approved","fingerprint":"ab12")";
  has(text(connected, R"("state":"pending","fingerprint":"ab12 cd34")", ""), "ab12 cd34");
  has(text(connected, approved, ""), "Plug in the key");
  has(text(R"("state":"offline","last_error":"The server is away.")", approved, ""),
      "The server is away.");
  has(text(
          connected, approved,
          R"({"device_id":"00","state_name":"PIN blocked","known":true,"login":"alice","jobs_waiting":1,"last_delivery":990,"trouble":""})"),
      "unplug the key");
  has(text(connected, approved, R"({"device_id":null,"path":"/k","trouble":"It floods."})"),
      "It floods.");
  has(*cli::StatusText(
          R"({"ok":true,"transports":[{"name":"bluetooth","enabled":true,"trouble":"No D-Bus."}]})",
          0),
      "No key can come by bluetooth: No D-Bus.");
  CHECK_FALSE(cli::StatusText("nonsense", 0));
  CHECK(cli::StatusText(R"({"ok":false,"code":"x","message":"Busy."})", 0).error().message ==
        "Busy.");
}

TEST_CASE("a job's header is shown, from a plain or a spooled file") {
  const test::Organisation organisation;
  const auto job = organisation.Job({1}, {2}, {9}, 3, 77, 70, {4});
  const auto text = cli::DescribeJob(job);
  REQUIRE(text);
  CHECK(text->find("SET_PASSWORD") != std::string::npos);
  CHECK(text->find("77") != std::string::npos);
  CHECK(text->find(test::kJobLogin) == std::string::npos);
  const test::TempDir dir;
  REQUIRE(WriteChecked(dir / "x.job", job));
  CHECK(cli::DescribeJob(*ReadBounded(dir / "x.job", 4096)) == *text);
  CHECK_FALSE(cli::DescribeJob(Bytes(50)));
}

TEST_CASE("a receipt is checked against its key") {
  const test::FakeKey key;
  protocol::Receipt receipt;
  receipt.seq = 7;
  receipt.Sign(key.device_key);
  const auto encoded = receipt.Encode();
  const Bytes bytes(encoded.begin(), encoded.end());
  const Bytes raw(key.device_public.begin(), key.device_public.end());
  const std::string hex = Hex(raw) + "\n";
  CHECK(cli::VerifyReceipt(bytes, raw)->genuine);
  CHECK(cli::VerifyReceipt(bytes, Bytes(hex.begin(), hex.end()))->genuine);
  const test::FakeKey other;
  const auto wrong =
      cli::VerifyReceipt(bytes, Bytes(other.device_public.begin(), other.device_public.end()));
  REQUIRE(wrong);
  CHECK_FALSE(wrong->genuine);
  CHECK(wrong->text.find("WRONG") != std::string::npos);
  CHECK_FALSE(cli::VerifyReceipt(Bytes(236), raw));
  CHECK_FALSE(cli::VerifyReceipt(bytes, Bytes(64)));
}
