#pragma once

#include <catch2/catch.hpp>
#include <memory>
#include <string>

#include "company.h"

namespace keyferry::server::testing {

// A company in which Alice has a key that is plugged in at her desk.
struct Office : Company {
  explicit Office(ChangeConfig config = {}) : Company(config), key(maker) {
    desk = AddWorkstation("desk-1");
    Enrol(key, alice, *desk);
    desk->Forget();
  }
  // Everything in memory is lost; the workstation connects again.
  void Reboot() {
    desk->subscription.reset();
    Restart();
    Connect(*desk);
    REQUIRE(Sees(*desk, {&key}));
  }
  Result<ChangeView> ChangeAtDelivery(const std::string& idempotency_key) {
    ChangeRequest request = Request(alice, idempotency_key);
    request.mode = ChangeMode::kAtDelivery;
    return changes->Start(admin, std::move(request));
  }
  // Somebody changes the database behind the server's back.
  void Tamper(const std::string& sql) {
    desk->subscription.reset();
    StopStore();
    database.Run(sql);
    Restart();
    Connect(*desk);
    REQUIRE(Sees(*desk, {&key}));
  }
  // What the server's driver does when something moved.
  void Proceed() { changes->Proceed(alice); }
  // Brings the newest job to the key, its receipt back, and lets the server go on.
  ReceiptVerdict Bring() {
    const auto verdict = Deliver(*desk, key);
    REQUIRE(verdict);
    Proceed();
    return *verdict;
  }
  void Unplug() { REQUIRE(Sees(*desk, {})); }
  void Plug() {
    desk->Forget();
    REQUIRE(Sees(*desk, {&key}));
    Proceed();
  }
  std::string AdPassword() { return directory.At(alice).password; }

  TestKey key;
  std::unique_ptr<TestWorkstation> desk;
};

}  // namespace keyferry::server::testing
