#include "server/app/help_desk_config.h"

#include <cstddef>
#include <string>

#include "server/app/config_reader.h"
#include "server/core/help_desk_records.h"

namespace keyferry::server {

void ReadHelpDesk(ConfigReader& reader, ServerConfig& config) {
  auto& desk = config.help_desk;
  desk.required = reader.Flag("help_desk.required", desk.required);
  desk.request_minutes = reader.Number("help_desk.request_minutes", desk.request_minutes, 2, 60);
  desk.attempts = reader.Number("help_desk.attempts", desk.attempts, 1, 10);
  desk.resets_per_day = reader.Number("help_desk.resets_per_day", desk.resets_per_day, 1, 100);
  desk.verification_points =
      reader.Number("help_desk.verification_points", desk.verification_points, 1, 20);
  desk.verification_methods =
      reader.Number("help_desk.verification_methods", desk.verification_methods, 1, 9);
  std::int64_t points = 0, methods = 0, *one = desk.points.data();
  for (const char* key :
       {"help_desk.points_in_person", "help_desk.points_call_back", "help_desk.points_mail_code",
        "help_desk.points_personal_data", "help_desk.points_key_touch", "help_desk.points_manager",
        "help_desk.points_sms_code", "help_desk.points_totp", "help_desk.points_questions"}) {
    *one = ReadPoints(reader, key, *one, config.self_service);
    points += *one;
    if (*one++ != 0) ++methods;
  }
  if (points < desk.verification_points || methods < desk.verification_methods) {
    reader.Complain("help_desk.verification_points",
                    "cannot be reached: the allowed verifications (help_desk.points_…) together "
                    "do not suffice, so nobody could be served.");
  }
  if (config.sms.url.empty() &&
      desk.points[static_cast<std::size_t>(HelpDeskMethod::kSmsCode)] != 0) {
    reader.Complain("help_desk.points_sms_code", "needs sms.url: codes go by no SMS without it.");
  }
  const auto fields = reader.Texts("help_desk.personal_data", false);
  if (!fields.empty()) desk.personal_data = fields;
  for (const std::string& field : desk.personal_data) {
    if (field == "employee_id" || field == "mail" || field == "title" || field == "department") {
      continue;
    }
    reader.Complain(
        "help_desk.personal_data",
        "holds \"" + field + "\"; it may hold employee_id, mail, title and department.");
  }
  desk.personal_data_mode =
      reader.OneOf("help_desk.personal_data_mode", desk.personal_data_mode, {"enter", "confirm"});
  if (desk.personal_data_mode == "confirm" && desk.verification_methods == 1 &&
      desk.points[static_cast<std::size_t>(HelpDeskMethod::kPersonalData)] >=
          desk.verification_points) {
    reader.Complain("help_desk.personal_data_mode",
                    "cannot be \"confirm\" where personal data alone suffice: the agent reads what "
                    "the caller should know. Lower help_desk.points_personal_data, or raise "
                    "help_desk.verification_points or help_desk.verification_methods.");
  }
  desk.privileged_groups = reader.Texts("help_desk.privileged_groups", false);
  desk.resets_per_agent_hour =
      reader.Number("help_desk.resets_per_agent_hour", desk.resets_per_agent_hour, 0, 10000);
  desk.read_out = reader.Flag("help_desk.read_out", desk.read_out);
  auto& eyes = config.four_eyes;
  eyes.enabled = reader.Flag("four_eyes.enabled", eyes.enabled);
  eyes.new_key_hours = reader.Number("four_eyes.new_key_hours", eyes.new_key_hours, 0, 720);
  eyes.approval_minutes =
      reader.Number("four_eyes.approval_minutes", eyes.approval_minutes, 5, 1440);
  eyes.mail = reader.Flag("four_eyes.mail", eyes.mail);
  auto& notice = config.notice;
  notice.enabled = reader.Flag("notice.enabled", notice.enabled);
  notice.managers = reader.Flag("notice.managers", notice.managers);
  notice.sms = reader.Flag("notice.sms", notice.sms);
  notice.link_hours = reader.Number("notice.link_hours", notice.link_hours, 1, 168);
}

}  // namespace keyferry::server
