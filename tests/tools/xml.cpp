#include "xml.hpp"

#include <algorithm>
#include <regex>
#include <set>
#include <sstream>

namespace bfsim {

namespace {

const std::string name = "[A-Za-z_][A-Za-z0-9_.-]*";
const std::regex entities("&(lt|gt|amp|quot|apos);");
const std::regex tags("<(/?)(" + name + ")((?:\\s+" + name + "=\"[^\"]*\")*)\\s*(/?)>");
const std::regex attributes("(" + name + ")=\"([^\"]*)\"");

bool is_text(const std::string& text) {
  return std::regex_replace(text, entities, "").find_first_of("<&") == std::string::npos;
}

bool is_blank(const std::string& text) {
  return text.find_first_not_of(" \n\t") == std::string::npos;
}

std::string fault_in_attributes(const std::string& text) {
  std::set<std::string> names;
  for (auto at = std::sregex_iterator(text.begin(), text.end(), attributes); at != std::sregex_iterator();
       ++at) {
    if (!names.insert((*at)[1]).second) return "an attribute twice in " + text;
    if (!is_text((*at)[2])) return "a bare < or & in " + text;
  }
  return "";
}

}  // namespace

std::string fault_in_xml(std::string_view view) {
  const std::string text(view);
  std::vector<std::string> open;
  int elements = 0;
  std::string between;
  auto at = std::sregex_iterator(text.begin(), text.end(), tags);
  std::string rest = text;
  for (; at != std::sregex_iterator(); ++at) {
    const std::smatch& tag = *at;
    between = tag.prefix();
    rest = tag.suffix();
    if (!is_text(between)) return "no text: " + between;
    if (open.empty() && !is_blank(between)) return "text outside of the element: " + between;
    if (const std::string fault = fault_in_attributes(tag[3]); !fault.empty()) return fault;
    const bool closes = tag[1].length() > 0;
    if (closes) {
      if (open.empty() || open.back() != tag[2]) return "closes what is not open: " + tag.str();
      open.pop_back();
      continue;
    }
    if (open.empty() && ++elements > 1) return "a second element: " + tag.str();
    if (tag[4].length() == 0) open.push_back(tag[2]);
  }
  if (elements == 0) return "no element";
  if (!open.empty()) return "never closed: " + open.back();
  return is_blank(rest) ? "" : "text after the element: " + rest;
}

int count_of(std::string_view part, std::string_view text) {
  int count = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

std::vector<std::pair<double, double>> points_of_polylines(std::string_view svg) {
  const std::string text(svg);
  const std::regex lists("points=\"([^\"]*)\"");
  std::vector<std::pair<double, double>> points;
  for (auto at = std::sregex_iterator(text.begin(), text.end(), lists); at != std::sregex_iterator(); ++at) {
    std::istringstream list((*at)[1]);
    double x = 0;
    double y = 0;
    for (char comma = 0; list >> x >> comma >> y;) points.emplace_back(x, y);
  }
  return points;
}

}  // namespace bfsim
