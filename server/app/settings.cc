#include "server/app/settings.h"

#include <algorithm>

#include "server/core/roles.h"

#ifndef KEYFERRY_VERSION
#error "KEYFERRY_VERSION comes from CMake"
#endif

namespace keyferry::server {

ChangeConfig ChangesOf(const ServerConfig& config) {
  ChangeConfig out;
  out.password_length = static_cast<std::size_t>(config.passwords.length);
  out.allow_typing = config.passwords.allow_typing;
  out.settle_seconds = config.directory.settle_seconds;
  out.history = static_cast<std::size_t>(config.passwords.history);
  out.respect_min_age = config.passwords.minimum_age == "respect";
  out.wait_seconds = config.passwords.wait_days * 86400;
  if (config.self_service.enabled) {
    out.own_per_day = static_cast<std::uint32_t>(config.self_service.passwords_per_day);
  }
  out.shared_store = config.postgres.has_value();
  return out;
}

KeyConfig KeysOf(const ServerConfig& config) {
  KeyConfig out;
  out.pin_min = static_cast<std::uint8_t>(config.keys.pin_min);
  out.pin_tries = static_cast<std::uint8_t>(config.keys.pin_tries);
  out.touch_to_store = config.keys.touch_to_store;
  out.keep_previous = config.keys.keep_previous;
  out.max_offline_days = static_cast<std::uint16_t>(config.keys.max_offline_days);
  out.enrolment_seconds = config.keys.enrolment_minutes * 60;
  out.per_person = static_cast<std::size_t>(config.keys.per_person);
  return out;
}

WorkstationConfig WorkstationsOf(const ServerConfig& config) {
  WorkstationConfig out;
  out.server_version = KEYFERRY_VERSION;
  out.certificate_days = config.workstations.certificate_days;
  out.max_pending = static_cast<std::size_t>(config.workstations.max_pending);
  out.max_per_address_hour = static_cast<std::size_t>(config.workstations.max_per_address_hour);
  return out;
}

HelpDeskConfig HelpDeskOf(const ServerConfig& config) {
  const auto& desk = config.help_desk;
  HelpDeskConfig out;
  out.request_seconds = desk.request_minutes * 60;
  out.attempts = static_cast<std::uint32_t>(desk.attempts);
  out.resets_per_day = static_cast<std::uint32_t>(desk.resets_per_day);
  out.needed_points = static_cast<std::uint32_t>(desk.verification_points);
  out.needed_methods = static_cast<std::uint32_t>(desk.verification_methods);
  for (std::size_t i = 0; i < out.points.size(); ++i) {
    out.points[i] = static_cast<std::uint32_t>(desk.points[i]);
  }
  out.personal_data.clear();
  for (int i = 0; i <= static_cast<int>(kLastPersonalField); ++i) {
    const auto field = static_cast<PersonalField>(i);
    if (std::find(desk.personal_data.begin(), desk.personal_data.end(), Name(field)) !=
        desk.personal_data.end()) {
      out.personal_data.push_back(field);
    }
  }
  out.confirm_personal_data = desk.personal_data_mode == "confirm";
  out.read_out = desk.read_out;
  out.sms = {config.sms.phone, config.sms.text,
             static_cast<std::uint32_t>(config.sms.per_person_day),
             static_cast<std::uint32_t>(config.sms.per_hour)};
  out.webhooks = config.webhook.targets;
  // Those who work here are privileged themselves.
  out.privileged_groups = desk.privileged_groups;
  for (const auto* groups :
       {&config.directory.administrator_groups, &config.directory.help_desk_groups,
        &config.directory.key_officer_groups, &config.directory.auditor_groups}) {
    out.privileged_groups.insert(out.privileged_groups.end(), groups->begin(), groups->end());
  }
  return out;
}

FourEyesConfig FourEyesOf(const ServerConfig& config) {
  FourEyesConfig out;
  out.on = config.four_eyes.enabled;
  out.privileged_groups = HelpDeskOf(config).privileged_groups;
  out.new_key_seconds = config.four_eyes.new_key_hours * 3600;
  out.life_seconds = config.four_eyes.approval_minutes * 60;
  out.resets_per_hour = static_cast<std::uint32_t>(config.help_desk.resets_per_agent_hour);
  out.roles_of = PeopleOf(config).roles_of;
  return out;
}

SessionConfig SessionsOf(const ServerConfig& config) {
  SessionConfig out;
  out.administrator_groups = config.directory.administrator_groups;
  out.help_desk_groups = config.directory.help_desk_groups;
  out.key_officer_groups = config.directory.key_officer_groups;
  out.auditor_groups = config.directory.auditor_groups;
  out.idle_seconds = config.sessions.idle_minutes * 60;
  out.absolute_seconds = config.sessions.absolute_hours * 3600;
  out.failures_per_account = static_cast<std::uint32_t>(config.sessions.failures_per_account);
  out.failures_per_address = static_cast<std::uint32_t>(config.sessions.failures_per_address);
  out.employees = config.self_service.enabled;
  out.grace_seconds = config.sessions.grace_minutes * 60;
  out.step_up_seconds = config.sign_in.step_up_minutes * 60;
  out.second_factor = config.sign_in.second_factor == "off"        ? FactorPolicy::kOff
                      : config.sign_in.second_factor == "optional" ? FactorPolicy::kOptional
                                                                   : FactorPolicy::kRequired;
  out.failure_window_seconds = out.block_seconds = config.sessions.block_minutes * 60;
  return out;
}

PeopleConfig PeopleOf(const ServerConfig& config) {
  PeopleConfig out;
  out.scopes = config.scopes;
  const auto& directory = config.directory;
  for (const auto* groups : {&directory.administrator_groups, &directory.help_desk_groups,
                             &directory.key_officer_groups, &directory.auditor_groups}) {
    out.role_groups.insert(out.role_groups.end(), groups->begin(), groups->end());
  }
  out.roles_of = [sessions = SessionsOf(config)](const std::vector<std::string>& groups) {
    return RolesOf(groups, sessions);
  };
  return out;
}

TokenConfig TokensOf(const ServerConfig& config) {
  TokenConfig out;
  out.max_days = config.api.max_token_days;
  out.requests_per_minute = static_cast<std::uint32_t>(config.api.requests_per_minute);
  return out;
}

}  // namespace keyferry::server
