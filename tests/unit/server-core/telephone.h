#pragma once

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <regex>
#include <string>
#include <vector>

#include "server/core/sms.h"

namespace keyferry::server::testing {

struct Telephone final : SmsGateway {
  Result<void> Send(const std::string& number, const SecureBytes& text) override {
    ++tries;
    if (down) return Fail(ErrorCode::kUnavailable, "The SMS gateway does not answer.");
    const std::lock_guard lock(mutex);
    numbers.push_back(number);
    texts.emplace_back(text.view());
    return {};
  }
  std::string Code() {
    std::smatch match;
    REQUIRE(std::regex_search(texts.back(), match, std::regex("([0-9]{4}) ([0-9]{4})")));
    return match[1].str() + match[2].str();
  }
  bool down = false;
  std::atomic<int> tries{0};
  std::mutex mutex;
  std::vector<std::string> numbers, texts;
};

}  // namespace keyferry::server::testing
