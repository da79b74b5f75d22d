#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/result.h"
#include "server/app/self_service_config.h"
#include "server/core/people.h"
#include "server/core/sms.h"
#include "server/core/webhook_records.h"
#include "server/storage/postgres_url.h"

namespace keyferry::server {

// keyferry-server.toml, read and checked. Every key is explained in docs/configuration.md; a test
// compares ConfigKeys() with that page. Relative paths count from the file's folder.
struct ServerConfig {
  struct Endpoint {
    std::string address;
    std::uint16_t port = 0;
  };
  std::filesystem::path state_dir;
  std::optional<PostgresUrl> postgres;  // empty = a SQLite file in state_dir
  Endpoint listen;
  Endpoint workstation_listen;
  std::vector<std::string> names;  // DNS names and IP addresses of this server, first = the URL's
  std::filesystem::path web_dir;   // empty = beside the program
  std::filesystem::path own_web_dir;  // the organisation's own texts and templates; empty = none
  std::int64_t workers = 16;
  std::int64_t max_connections = 4096;
  std::int64_t max_connections_per_address = 256;

  // How one directory is reached.
  struct Ldap {
    std::string kind = "active-directory";
    std::vector<std::string> uris;
    std::filesystem::path ca_file;
    std::string base_dn;
    std::string people_dn;
    std::vector<std::string> shown_attributes;  // of the first directory alone
    std::string mobile_attribute = "mobile";    // likewise: sms.attribute
    std::string bind_name;
    std::filesystem::path password_file;
    std::int64_t timeout_ms = 5000;
    std::int64_t connections = 4;
    std::vector<std::string> protected_groups;
    bool prefer_pdc = false;
    std::string default_policy;
  };
  // The first source: people, sign-in and groups come from it.
  struct FirstSource : Ldap {
    std::int64_t settle_seconds = 60;
    std::vector<std::string> administrator_groups;
    std::vector<std::string> help_desk_groups;
    std::vector<std::string> key_officer_groups;
    std::vector<std::string> auditor_groups;
  } directory;
  // A block [[source]].
  struct Source : Ldap {
    std::string name;
    std::string match = "login";
    bool preset = false;
  };
  std::vector<Source> sources;      // 0…4, in the file's order
  std::vector<PeopleScope> scopes;  // blocks [[scope]], 0…32

  struct {
    std::int64_t idle_minutes = 15;
    std::int64_t absolute_hours = 8;
    std::int64_t failures_per_account = 10;
    std::int64_t failures_per_address = 50;
    std::int64_t block_minutes = 15;
    std::int64_t grace_minutes = 15;
  } sessions;

  struct {
    std::string second_factor = "required";
    std::int64_t step_up_minutes = 10;
    bool fido_keys = true;
    std::string relying_party;         // empty = the first of `names` that is a DNS name
    std::vector<std::string> origins;  // empty = of all `names` at or below the relying party
    std::string user_verification = "preferred";
  } sign_in;

  SelfServiceConfig self_service;

  struct {
    std::filesystem::path keytab;  // empty = nobody signs in by a Kerberos ticket
    std::string service;           // "HTTP/keyferry.corp.example@CORP.EXAMPLE"
  } single_sign_on;

  struct {
    std::int64_t length = 24;
    std::int64_t wait_days = 30;  // that a change at delivery waits for its key
    bool allow_typing = false;
    std::int64_t history = 24;
    std::string minimum_age = "tell";
  } passwords;

  struct {
    std::vector<std::filesystem::path> vendor_ca;
    bool allow_simulator = false;
    std::vector<std::filesystem::path> simulator_ca;
    std::int64_t pin_min = 6;
    std::int64_t pin_tries = 8;
    bool touch_to_store = false;
    bool keep_previous = true;
    std::int64_t max_offline_days = 0;
    std::int64_t enrolment_minutes = 10;
    std::int64_t per_person = 3;
  } keys;

  struct {
    std::int64_t certificate_days = 365;
    std::int64_t max_pending = 200;
    std::int64_t max_per_address_hour = 20;
  } workstations;

  struct {
    std::int64_t max_token_days = 366;
    std::int64_t requests_per_minute = 600;  // of one token
  } api;

  struct {
    std::int64_t checkpoint_rows = 100;
    std::int64_t checkpoint_minutes = 10;
    std::int64_t retention_days = 0;  // 0 = for ever
    std::string syslog_host;          // empty = nowhere
    std::uint16_t syslog_port = 0;
    bool syslog_tls = true;
    std::filesystem::path syslog_ca;
  } audit;

  struct {
    std::string host;  // empty = no mails
    std::uint16_t port = 587;
    std::string tls = "starttls";
    std::filesystem::path ca_file;  // empty = the system's
    std::string from;
    std::string user;
    std::filesystem::path password_file;
    std::vector<std::string> administrators;  // addresses of who is told of warnings
    std::string language = "en";              // of all mails
  } mail;

  struct {
    bool required = true;
    std::int64_t request_minutes = 10;
    std::int64_t attempts = 3;
    std::int64_t resets_per_day = 3;
    std::int64_t verification_points = 2;
    std::int64_t verification_methods = 1;
    // Points of each method, 0 = not allowed; in the order of HelpDeskMethod.
    std::array<std::int64_t, 9> points{3, 2, 1, 1, 3, 1, 0, 2, 1};
    std::vector<std::string> personal_data{"employee_id"};
    std::string personal_data_mode = "enter";
    std::vector<std::string> privileged_groups;
    std::int64_t resets_per_agent_hour = 20;  // 0 = any number
    bool read_out = false;
  } help_desk;

  struct {
    std::vector<WebhookTarget> targets;  // empty = nobody is told
    std::filesystem::path secret_file;
    std::filesystem::path ca_file;  // empty = the system's
    std::int64_t timeout_seconds = 10;
  } webhook;

  struct Sms {
    std::string url;  // empty = no codes by SMS
    std::string header;
    std::filesystem::path secret_file;  // the header's value
    std::filesystem::path ca_file;      // empty = the system's
    std::int64_t timeout_seconds = 10;
    SmsMessage message;
    PhoneRules phone;
    std::string text, notice_text;
    std::int64_t per_person_day = 5;
    std::int64_t per_hour = 100;
  } sms;

  struct {
    bool enabled = true;
    std::int64_t new_key_hours = 24;  // 0 = a password and a further key need no second person
    std::int64_t approval_minutes = 60;
    bool mail = true;  // tell who may approve
  } four_eyes;

  struct {
    bool enabled = true;
    bool managers = true;
    bool sms = true;  // where [sms] has a gateway
    std::int64_t link_hours = 72;
  } notice;

  struct {
    std::string level = "info";
    std::filesystem::path file;  // empty = standard error
  } log;

  // kInvalidArgument, message "FILE:LINE: what is wrong and how to mend it". Nothing but the text
  // is looked at; `directory` is the folder that relative paths count from.
  static Result<ServerConfig> Parse(std::string_view text, const std::string& file_name,
                                    const std::filesystem::path& directory);
  // Reads and parses; also refuses a file that others may change.
  static Result<ServerConfig> Load(const std::filesystem::path& file);
};

// "table.key" of every key there is.
const std::vector<std::string>& ConfigKeys();

}  // namespace keyferry::server
