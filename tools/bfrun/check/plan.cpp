#include "check/plan.hpp"

#include <nlohmann/json.hpp>

#include <bluefog/config.hpp>

#include "messages/json_text.hpp"

namespace bfrun {
namespace {

using json = nlohmann::json;

json to_json(const std::vector<std::string>& words) {
  json list = json::array();
  for (const std::string& word : words) list.push_back(to_json_text(word));
  return list;
}

std::vector<std::string> words_of(const json& object, const char* name) {
  std::vector<std::string> words;
  for (const json& word : elements(member(object, name))) words.push_back(from_json_text(word));
  return words;
}

}  // namespace

std::string encode(const CheckPlan& plan) {
  json hosts = json::array();
  for (const CheckPlan::Host& host : plan.hosts) {
    hosts.push_back({{"name", to_json_text(host.name)}, {"ranks", host.ranks}});
  }
  const json object{{"hosts", hosts},
                    {"directory", to_json_text(plan.directory)},
                    {"files", to_json(plan.files)},
                    {"command", to_json(plan.command)}};
  return object.dump();
}

CheckPlan parse_check_plan(std::string_view text_of_plan) {
  const json object = parse_json(text_of_plan);
  CheckPlan plan;
  for (const json& host : elements(member(object, "hosts"))) {
    plan.hosts.push_back({text(host, "name"), integer(host, "ranks", 1, bluefog::most_ranks)});
  }
  plan.directory = text(object, "directory");
  plan.files = words_of(object, "files");
  plan.command = words_of(object, "command");
  return plan;
}

}  // namespace bfrun
