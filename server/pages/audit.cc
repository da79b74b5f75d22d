// The audit log: looking for rows, filters that a person keeps, and the export of what is shown.
#include <algorithm>
#include <array>

#include "server/api/paging.h"
#include "server/api/problem.h"
#include "server/core/encoding.h"
#include "server/http/target.h"
#include "server/pages/frame.h"
#include "server/pages/models.h"

namespace keyferry::server {
namespace {

constexpr std::size_t kAuditRowsOnAPage = 50;
constexpr std::size_t kMostExported = 5000;
constexpr std::size_t kExportedAtOnce = 1000;

// The filter as the page's address carries it.
struct AuditQuery {
  std::string period, from, until, actor, action, target, outcome, ticket;
};
struct QueryPart {
  const char* name;
  std::string AuditQuery::*value;
};
constexpr std::array<QueryPart, 8> kParts = {{{"period", &AuditQuery::period},
                                              {"from", &AuditQuery::from},
                                              {"until", &AuditQuery::until},
                                              {"actor", &AuditQuery::actor},
                                              {"action", &AuditQuery::action},
                                              {"target", &AuditQuery::target},
                                              {"outcome", &AuditQuery::outcome},
                                              {"ticket", &AuditQuery::ticket}}};
struct Choice {
  const char* value;
  const char* text;
};
constexpr Choice kPeriods[] = {{"", "audit.any_time"},
                               {"day", "audit.last_day"},
                               {"week", "audit.last_week"},
                               {"month", "audit.last_month"}};
constexpr Choice kOutcomes[] = {
    {"", "audit.any_outcome"}, {"ok", "audit.outcome_ok"}, {"other", "audit.outcome_other"}};

template <typename Source>
AuditQuery ReadQuery(const Source& source) {
  AuditQuery query;
  for (const QueryPart& part : kParts) query.*part.value = source(part.name);
  return query;
}
AuditQuery OfAddress(const Request& request) {
  return ReadQuery([&](const char* name) { return std::string(request.Query(name)); });
}
AuditQuery OfForm(const Request& request) {
  return ReadQuery([&](const char* name) { return std::string(request.form->Text(name)); });
}

std::string AddressOf(const AuditQuery& query) {
  std::string out;
  for (const QueryPart& part : kParts) {
    const std::string& value = query.*part.value;
    if (!value.empty()) {
      out += (out.empty() ? "" : "&") + std::string(part.name) + "=" + QueryText(value);
    }
  }
  return out;
}
std::string PageOf(const AuditQuery& query) {
  const std::string address = AddressOf(query);
  return address.empty() ? "/audit" : "/audit?" + address;
}

// A sentence where the filter is none.
Result<AuditFilter> FilterOf(const Catalog& catalog, const AuditQuery& query, std::int64_t now) {
  AuditFilter filter;
  for (const QueryPart& part : kParts) {
    const std::string& value = query.*part.value;
    if (value.size() > kMaxAuditText || !IsPrintableUtf8(value)) {
      return Fail(ErrorCode::kInvalidArgument, catalog.Text("audit.bad_text"));
    }
  }
  const std::int64_t today = now - now % kDayMillis;
  if (query.period == "day") {
    filter.from = now - kDayMillis;
  } else if (query.period == "week") {
    filter.from = now - 7 * kDayMillis;
  } else if (query.period == "month") {
    filter.from = today - (kReportDays - 1) * kDayMillis;  // as the reports count
  } else if (!query.period.empty()) {
    return Fail(ErrorCode::kInvalidArgument, catalog.Text("audit.bad_day"));
  }
  const auto from = ReadDay(query.from), until = ReadDay(query.until);
  if ((!from && !query.from.empty()) || (!until && !query.until.empty())) {
    return Fail(ErrorCode::kInvalidArgument, catalog.Text("audit.bad_day"));
  }
  if (from) filter.from = std::max(filter.from, *from);
  if (until) filter.until = *until + kDayMillis;
  filter.actor = query.actor;
  filter.action = query.action;
  filter.target = query.target;
  filter.outcome = query.outcome;
  filter.ticket = query.ticket;
  return filter;
}

template <std::size_t kSize>
Data Choices(const Catalog& catalog, const Choice (&choices)[kSize], const std::string& chosen) {
  Data list = List();
  bool known = false;
  for (const Choice& choice : choices) {
    Data one;
    Put(one, "value", choice.value);
    Put(one, "text", catalog.Text(choice.text));
    PutFlag(one, "chosen", chosen == choice.value);
    known = known || chosen == choice.value;
    list << one;
  }
  if (!known) {  // a code of a link
    Data one;
    Put(one, "value", chosen);
    Put(one, "text", chosen);
    PutFlag(one, "chosen", true);
    list << one;
  }
  return list;
}

Result<void> PutSaved(const PageContext& context, const Request& request, Data& data) {
  const auto saved = context.services.audit_filters->Mine(request.session->actor);
  if (!saved) return tl::unexpected(saved.error());
  Data list = List();
  for (const SavedAuditFilter& one : *saved) {
    Data row;
    Put(row, "id", one.id.Hex());
    Put(row, "filter_name", one.name);
    Put(row, "link", one.query.empty() ? "/audit" : "/audit?" + one.query);
    list << row;
  }
  PutFlag(data, "saved_any", !saved->empty());
  data["saved"] = std::move(list);
  return {};
}

Response ShowAudit(const PageContext& context, const Request& request, const AuditQuery& query,
                   std::string problem, int status) {
  const Catalog& catalog = context.catalog;
  const std::string_view before_text =
      request.method == Method::kGet ? request.Query("before") : std::string_view();
  const auto before = before_text.empty() ? Result<std::uint64_t>(0) : ReadNumber(before_text, "");
  if (!before) return ShowNotFound(context, request);
  const auto filter = FilterOf(catalog, query, context.services.clock.UnixMillis());
  if (!filter) {
    problem = filter.error().message;
    status = 400;
  }
  AuditPage page;
  if (filter) {
    auto found = context.services.audit.Search(*filter, *before, kAuditRowsOnAPage);
    if (!found) return ShowFailure(context, request, found.error());
    page = *std::move(found);
  }
  Data data = Frame(context, request, catalog.Text("audit.title"), "audit");
  Data list = List();
  for (const AuditView& row : page.rows) list << AuditData(row);
  PutFlag(data, "any", !page.rows.empty());
  data["rows"] = std::move(list);
  const bool filtered = !AddressOf(query).empty();
  PutFlag(data, "filtered", filtered);
  data["older"] = Data(false);
  data["searched"] = Data(false);
  if (page.next != 0) {
    Put(data, "older",
        PageOf(query) + (filtered ? "&" : "?") + "before=" + std::to_string(page.next));
    if (page.rows.size() < kAuditRowsOnAPage) {
      Put(data, "searched", catalog.Text("audit.searched", {std::to_string(page.next)}));
    }
  }
  data["periods"] = Choices(catalog, kPeriods, query.period);
  data["outcomes"] = Choices(catalog, kOutcomes, query.outcome);
  Data kept = List();
  for (const QueryPart& part : kParts) {
    Put(data, (std::string("f_") + part.name).c_str(), query.*part.value);
    Data row;
    Put(row, "name", part.name);
    Put(row, "value", query.*part.value);
    if (!(query.*part.value).empty()) kept << row;
  }
  data["kept"] = std::move(kept);
  PutMaybe(data, "problem", problem);
  if (const auto put = PutSaved(context, request, data); !put) {
    return ShowFailure(context, request, put.error());
  }
  return Show(context, request, "audit", data, status);
}

Response SaveFilter(const PageContext& context, const Request& request) {
  const AuditQuery query = OfForm(request);
  const auto filter = FilterOf(context.catalog, query, context.services.clock.UnixMillis());
  if (!filter) return ShowAudit(context, request, query, {}, 400);
  const auto saved = context.services.audit_filters->Save(
      request.session->actor, request.form->Text("filter_name"), AddressOf(query));
  if (saved) return Response::SeeOther(PageOf(query));
  context.services.report(request, saved.error());
  return ShowAudit(context, request, query, context.catalog.Say(saved.error().message),
                   HttpStatus(saved.error().code));
}

Response RemoveFilter(const PageContext& context, const Request& request, const AuditFilterId& id) {
  const auto removed = context.services.audit_filters->Forget(request.session->actor, id);
  if (!removed) return ShowFailure(context, request, removed.error());
  return Response::SeeOther("/audit");
}

Response ExportRows(const PageContext& context, const Request& request) {
  struct Format {
    const char* name;
    AuditFormat format;
    const char* type;
  };
  static constexpr Format kFormats[] = {
      {"csv", AuditFormat::kCsv, "text/csv; charset=utf-8"},
      {"jsonl", AuditFormat::kJsonLines, "application/x-ndjson; charset=utf-8"},
      {"cef", AuditFormat::kCef, "text/plain; charset=utf-8"}};
  const auto format =
      std::find_if(std::begin(kFormats), std::end(kFormats),
                   [&](const Format& one) { return request.form->Text("format") == one.name; });
  const AuditQuery query = OfForm(request);
  const auto filter = FilterOf(context.catalog, query, context.services.clock.UnixMillis());
  if (!filter || format == std::end(kFormats)) {
    return ShowAudit(context, request, query, context.catalog.Text("audit.bad_text"), 400);
  }
  Response response;
  response.content_type = format->type;
  std::uint64_t after = 0;
  for (std::size_t rows = 0; rows < kMostExported;) {
    auto piece = context.services.audit.Export(format->format, after, kExportedAtOnce,
                                               context.services.version, *filter);
    if (!piece) return ShowFailure(context, request, piece.error());
    response.body += piece->text;
    rows += piece->rows;
    after = piece->last;
    if (!piece->more) break;
  }
  response.With("Content-Disposition",
                std::string("attachment; filename=\"keyferry-audit.") + format->name + "\"");
  return response;
}

std::vector<FormField> FormOf(std::vector<FormField> more) {
  for (const QueryPart& part : kParts) more.push_back({part.name, kMaxAuditText});
  return more;
}

}  // namespace

void AddAuditPages(Router& router, const PageContext& context) {
  std::vector<std::string> names = {"before"};
  for (const QueryPart& part : kParts) names.emplace_back(part.name);
  router.Add({Method::kGet, "/audit", Right::kAuditRead,
              [context](Request& request) {
                return ShowAudit(context, request, OfAddress(request), {}, 200);
              },
              names});
  router.Add({Method::kPost,
              "/audit/export",
              Right::kAuditExport,
              [context](Request& request) { return ExportRows(context, request); },
              {},
              Body::kForm,
              FormOf({CsrfField(), {"format", 8, false, true}})});
  router.Add({Method::kPost,
              "/audit/filters",
              Right::kAuditRead,
              [context](Request& request) { return SaveFilter(context, request); },
              {},
              Body::kForm,
              FormOf({CsrfField(), {"filter_name", kMaxFilterName, false, true}})});
  router.Add({Method::kPost,
              "/audit/filters/{id}/remove",
              Right::kAuditRead,
              PageWithId<AuditFilterId>(context, RemoveFilter),
              {},
              Body::kForm,
              {CsrfField()}});
}

}  // namespace keyferry::server
