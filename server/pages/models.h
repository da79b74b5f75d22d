#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/core/audit.h"
#include "server/core/changes.h"
#include "server/core/directory.h"
#include "server/core/keys.h"
#include "server/core/workstations.h"
#include "server/pages/catalog.h"

namespace keyferry::server {

// Views of the services → what templates show. Pure functions; the texts come from the catalogue.

Data Badge(std::string_view tone, std::string_view icon, std::string_view text);
// {iso, words}; words are UTC, the browser turns them into its own time. `millis` 0 → false.
Data Time(std::int64_t millis);
std::string TimeWords(std::int64_t millis);
// "2026-11-22": the UTC day of a time, and the midnight of such a day; nothing for what is no day.
std::string DayWords(std::int64_t millis);
std::optional<std::int64_t> ReadDay(std::string_view text);
// A link for each choice of a filter over a list, and which of them is chosen.
struct FilterChoice {
  std::string text, value;
};
Data FilterLinks(const std::vector<FilterChoice>& choices, std::string_view chosen,
                 std::string_view address);
// As Time, but only hours, minutes and seconds when it was on the same day as `begun`.
Data TimeOnDay(std::int64_t millis, std::int64_t begun);

std::string Initials(std::string_view display_name);
// 0…5, the same for a person on every page.
std::string Tint(const AccountId& id);
// "a1b2c3d4-…": the first eight digits, which is how people tell keys apart.
std::string ShortKey(const DeviceId& id);
// Groups of four digits.
std::string Grouped(std::string_view hex);

Data ChangeBadge(const Catalog& catalog, const ChangeView& change);
// … as long as the directory has not confirmed it; nothing once it has.
std::optional<Data> UnconfirmedBadge(const Catalog& catalog, ChangeState state, ChangeMode mode);
// The newest change: badge, who made it, and for each key the steps and the receipt.
Data ChangeData(const Catalog& catalog, const ChangeView& change);
// What must be said above everything else about the newest change and the keys, with the next step.
Data Notices(const Catalog& catalog, const ChangeView* newest, const std::vector<KeyView>& keys);
Data HistoryRow(const Catalog& catalog, const ChangeView& change);
// True while a change at delivery has not touched Active Directory: the old password works.
bool IsWaiting(const ChangeView& change);
// True while Active Directory has a password that a key in use does not have yet, but will get.
bool IsAhead(const ChangeView& change);

Data KeyBadge(const Catalog& catalog, const KeyView& key);
void PutKey(const Catalog& catalog, Data& data, const KeyView& key);
Data KeyData(const Catalog& catalog, const KeyView& key);
Data NewKeyData(const Catalog& catalog, const NewKeyView& key);
Data AccountBadges(const Catalog& catalog, const AccountState& state);
Data PersonRow(const Person& person);
Data ContactData(const Catalog& catalog, const Person& person);
Data WorkstationData(const Catalog& catalog, const WorkstationView& workstation);
Data AuditData(const AuditView& row);

}  // namespace keyferry::server
